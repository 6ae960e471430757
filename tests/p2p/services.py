# SPDX-License-Identifier: Apache-2.0
"""Servers that look-alikes need: of names, of pages, of zones."""
import subprocess


def serve_names(network, number, addresses, mail=()):
    """dnsmasq at host `number`: what is asked for below test. {name: address}, and mail domains with the name of their server."""
    hosts = network.folder / f"hosts-{number}"
    hosts.write_text("".join(f"{address} {name}\n" for name, address in addresses.items()))
    network.start(number, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-resolv",
                  "--no-hosts", f"--addn-hosts={hosts}", "--local=/test/", "--dns-forward-max=1000", "--log-facility=-",
                  *(f"--mx-host={domain},{server},10" for domain, server in mail))
    network.wait_for_port(number, 53, "udp")


NGINX = """
daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log stderr; events {{ worker_connections 2000; }}
http {{
	access_log {folder}/access.log; default_type text/html;
	{places}
	server {{
		listen 80 default_server backlog=1024; {tls}
		root {root};
	}}
}}
"""
TLS = "listen 443 ssl default_server backlog=1024; ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;"
PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def serve_pages(network, number, root, tls=False):
    """nginx at host `number`, at all addresses that it has."""
    folder = network.folder / f"nginx-{number}"
    folder.mkdir()
    if tls:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout",
                        folder / "key.pem", "-out", folder / "certificate.pem"], check=True, stderr=subprocess.DEVNULL)
    places = "".join(f"{place}_temp_path {folder}/{place};" for place in PLACES)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, root=root, places=places, tls=TLS.format(folder=folder) if tls else ""))
    network.start(number, "nginx", "-p", folder, "-c", folder / "nginx.conf")
    network.wait_for_port(number, 443 if tls else 80)
    return folder / "access.log"


NSD = """
server:
  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: {folder}/zone.list
  zonesdir: {folder}
  hide-version: yes
  rrl-ratelimit: 0
  server-count: 1
{addresses}
remote-control:
  control-enable: no
"""
ZONE = "$TTL 3600\n@ SOA ns1 hostmaster 1 3600 600 86400 3600\n"


def serve_zones(network, number, addresses, zones):
    """nsd at host `number`, at each of its addresses: {zone: lines}."""
    folder = network.folder / f"nsd-{number}"
    folder.mkdir()
    text = NSD.format(folder=folder, addresses="\n".join(f"  ip-address: {address}" for address in addresses))
    for at, (zone, lines) in enumerate(zones.items()):
        (folder / f"{at}.zone").write_text(f"$ORIGIN {zone}\n{ZONE}" + "\n".join(lines) + "\n")
        text += f"zone:\n  name: {zone}\n  zonefile: {at}.zone\n"
    (folder / "nsd.conf").write_text(text)
    network.start(number, "nsd", "-d", "-c", folder / "nsd.conf")
    network.wait_for_port(number, 53, "udp")
