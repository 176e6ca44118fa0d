// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/schema/state"
)

// BenchmarkCompile makes a State out of decoded objects, against decoding them from
// the protobuf that an API server sends, in turn. convert makes a Snapshot of the
// objects and compile makes a State of that; whole is both. encode makes the maps'
// bytes of the State, under ids that are known.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) { benchmarkCompile(b, n, 10) })
	}
}

func benchmarkCompile(b *testing.B, n, endpoints int) {
	objects := sourcetest.New(n, endpoints)
	services, err := objects.Services.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	slicesBytes, err := objects.Slices.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	settings := sourcetest.Settings()
	took := map[string][]time.Duration{}
	lap := func(name string, begin time.Time) time.Time {
		took[name] = append(took[name], time.Since(begin))
		return time.Now()
	}
	for b.Loop() {
		begin := time.Now()
		decoded := sourcetest.Objects{Services: &corev1.ServiceList{}, Slices: &discoveryv1.EndpointSliceList{}}
		if err := decoded.Services.Unmarshal(services); err != nil {
			b.Fatal(err)
		}
		if err := decoded.Slices.Unmarshal(slicesBytes); err != nil {
			b.Fatal(err)
		}
		begin = lap("decode", begin)
		snapshot := decoded.Snapshot(b)
		begin = lap("convert", begin)
		want, _ := datapath.Compile(settings, snapshot)
		lap("compile", begin)
		took["whole"] = append(took["whole"], took["convert"][len(took["convert"])-1]+took["compile"][len(took["compile"])-1])
		if len(want.Frontends) != n || len(want.Backends) != n*endpoints {
			b.Fatalf("%d frontends and %d backends, want %d and %d", len(want.Frontends), len(want.Backends), n, n*endpoints)
		}
		ids := numbered(want)
		begin = time.Now()
		if _, err := layout.Encode(want, ids); err != nil {
			b.Fatal(err)
		}
		lap("encode", begin)
	}
	b.ReportMetric(0, "ns/op") // of all of them together it says nothing
	for _, name := range []string{"whole", "convert", "compile", "encode"} {
		b.ReportMetric(medianRatio(took[name], took["decode"]), name+"/decode")
	}
}

// numbered gives everything the next id.
func numbered(s *state.State) *layout.Ledger {
	ids := layout.NewLedger()
	for i := range s.Backends {
		ids.Backends.Set(s.Backends[i].Endpoint, uint32(i+1))
	}
	for i := range s.Frontends {
		ids.Frontends[s.Frontends[i].FrontendName] = uint16(i + 1)
	}
	return ids
}

// medianRatio is the median of the ratios within each round.
func medianRatio(these, floor []time.Duration) float64 {
	list := make([]float64, len(these))
	for i := range these {
		list[i] = float64(these[i]) / float64(floor[i])
	}
	slices.Sort(list)
	return list[len(list)/2]
}
