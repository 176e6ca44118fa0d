// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// BenchmarkCompile compiles services with ten endpoints each; a tenth of the
// NodePort kind, as large clusters have it.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for _, version := range []string{"1.17.2", "1.20.2"} {
			b.Run(fmt.Sprintf("%s/services=%d", version, n), func(b *testing.B) {
				settings, snapshot := settingsOf(version), manyServices(n, 10)
				settings.Maps = state.MapSettings{}
				b.ReportAllocs()
				for b.Loop() {
					s, _ := datapath.Compile(settings, snapshot)
					if len(s.Backends) != n*10 {
						b.Fatalf("%d backends", len(s.Backends))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/service")
			})
		}
	}
}

func BenchmarkMaglevTable(b *testing.B) {
	snapshot := manyServices(1, 100)
	backends := make([]state.Endpoint, 0, 100)
	for _, e := range snapshot.Slices[0].Endpoints {
		backends = append(backends, state.Endpoint{Address: e.Addresses[0], Port: 8080, Protocol: state.TCP})
	}
	for b.Loop() {
		datapath.MaglevTable(backends, nil, 16381, 1)
	}
}

// manyServices makes n services with the given number of endpoints, every
// tenth with a node port.
func manyServices(n, endpoints int) *state.Snapshot {
	s := &state.Snapshot{Node: state.Node{Name: "node-0", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}}
	for i := range n {
		svc := state.Service{
			Namespace: fmt.Sprintf("team-%d", i%50), Name: fmt.Sprintf("service-%d", i), Type: "ClusterIP",
			ClusterIPs: []netip.Addr{addr4(10<<24 | 96<<16 | uint32(i))},
			Ports:      []state.ServicePort{{Name: "http", Protocol: state.TCP, Port: 80}},
		}
		if i%10 == 0 {
			svc.Type = "NodePort"
			if i/10 < 2768 {
				svc.Ports[0].NodePort = uint16(30000 + i/10)
			}
		}
		slice := state.EndpointSlice{
			Namespace: svc.Namespace, Name: svc.Name + "-abcde", Service: svc.Name,
			Ports: []state.EndpointPort{{Name: "http", Protocol: state.TCP, Port: 8080}},
		}
		for j := range endpoints {
			slice.Endpoints = append(slice.Endpoints, state.EndpointSpec{
				Addresses: []netip.Addr{addr4(10<<24 | 128<<16 + uint32((i*endpoints+j)*7919%(n*endpoints)))},
				NodeName:  fmt.Sprintf("node-%d", j),
			})
		}
		s.Services = append(s.Services, svc)
		s.Slices = append(s.Slices, slice)
	}
	return s
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
