{{- define "taffrail.labels" -}}
app.kubernetes.io/name: taffrail
app.kubernetes.io/part-of: taffrail
{{- end }}

{{- define "taffrail.selector" -}}
app.kubernetes.io/name: taffrail
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* image: of the dictionary {root, name, digest} */ -}}
{{- define "taffrail.image" -}}
{{ .root.Values.image.repository }}/{{ .name }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* Files of a mounted certificate */ -}}
{{- define "taffrail.tls" -}}
ca: /etc/taffrail/tls/ca.crt
cert: /etc/taffrail/tls/tls.crt
key: /etc/taffrail/tls/tls.key
{{- end }}

{{- define "taffrail.sensorConfig" -}}
{{- $runtime := .Values.sensor.runtime -}}
{{- $config := dict
	"collector" (list (printf "taffrail-collector.%s.svc:7443" .Release.Namespace))
	"cri" (dict "sockets" (list (printf "/host%s" $runtime.socket)) "state" (list $runtime.state))
	"host" (dict "root" "/host")
	"tls" (include "taffrail.tls" . | fromYaml) -}}
{{- mergeOverwrite $config .Values.sensor.config | toYaml -}}
{{- end }}

{{- define "taffrail.collectorConfig" -}}
{{- $config := dict "tls" (include "taffrail.tls" . | fromYaml) -}}
{{- mergeOverwrite $config .Values.collector.config | toYaml -}}
{{- end }}
