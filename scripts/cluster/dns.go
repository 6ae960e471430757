// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The names of services, as pods ask for them: SERVICE.NAMESPACE.svc.cluster.local is its cluster's address. Each question is one to the
// API server, which a cluster of one node can bear.
const suffix = ".svc.cluster.local."

// dns KUBECONFIG ADDRESS: answers over UDP until it is killed.
func dns(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: kube dns KUBECONFIG ADDRESS")
	}
	config, err := clientcmd.BuildConfigFromFlags("", arguments[0])
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	socket, err := net.ListenPacket("udp", arguments[1])
	if err != nil {
		return err
	}
	for {
		question := make([]byte, 512)
		length, peer, err := socket.ReadFrom(question)
		if err != nil {
			return err
		}
		go func() {
			if said, err := answer(client, question[:length]); err == nil {
				_, _ = socket.WriteTo(said, peer)
			}
		}()
	}
}

func answer(client kubernetes.Interface, question []byte) ([]byte, error) {
	var asked dnsmessage.Message
	if err := asked.Unpack(question); err != nil {
		return nil, err
	}
	if asked.Response || len(asked.Questions) != 1 {
		return nil, fmt.Errorf("no question")
	}
	one := asked.Questions[0]
	said := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: asked.ID, Response: true, Authoritative: true, RecursionDesired: asked.RecursionDesired},
		Questions: asked.Questions,
	}
	address, err := find(client, strings.ToLower(one.Name.String()))
	switch {
	case err != nil:
		said.RCode = dnsmessage.RCodeServerFailure
	case address == nil:
		said.RCode = dnsmessage.RCodeNameError
	case one.Type == dnsmessage.TypeA:
		said.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: one.Name, Type: one.Type, Class: one.Class, TTL: 5},
			Body:   &dnsmessage.AResource{A: [4]byte(address)},
		}}
	}
	return said.Pack()
}

// find: nil where there is no such service, or it has no address of its own.
func find(client kubernetes.Interface, name string) (net.IP, error) {
	labels := strings.Split(strings.TrimSuffix(name, suffix), ".")
	if !strings.HasSuffix(name, suffix) || len(labels) != 2 {
		return nil, nil
	}
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	service, err := client.CoreV1().Services(labels[1]).Get(end, labels[0], meta.GetOptions{})
	if errors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return net.ParseIP(service.Spec.ClusterIP).To4(), nil
}
