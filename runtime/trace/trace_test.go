// SPDX-License-Identifier: Apache-2.0

package trace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/runtime/trace"
	"plumbline.dev/plumbline/schema/state"
)

const one = `layout cilium/1.17
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.2:53/UDP inactive=-
backend 10.244.0.2:53/UDP state=active zone=0
`

// wanted is a source that gives a State, or the error that it is set to.
type wanted struct{ err error }

func (w *wanted) State(context.Context) (*state.State, error) {
	if w.err != nil {
		return nil, w.err
	}
	return state.Parse(one)
}

// collector takes traces as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	paths   []string
	headers []string
	spans   []*tracepb.ResourceSpans
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint(r.Method, r.Header, err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths = append(c.paths, r.URL.Path)
	c.headers = append(c.headers, r.Header.Get("Authorization"))
	c.spans = append(c.spans, data.ResourceSpans...)
}

// tree writes what has come as one line a span, parents before their children, each in
// the order of its beginning.
func (c *collector) tree() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	byParent := map[string][]*tracepb.Span{}
	for _, resource := range c.spans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				byParent[string(s.ParentSpanId)] = append(byParent[string(s.ParentSpanId)], s)
			}
		}
	}
	var out strings.Builder
	var write func(parent, indent string)
	write = func(parent, indent string) {
		slices.SortFunc(byParent[parent], func(a, b *tracepb.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
		for _, s := range byParent[parent] {
			fmt.Fprintf(&out, "%s%s", indent, s.Name)
			for _, key := range []string{"status", "reason", "drifts", "planned", "applied", "entries"} {
				if v := valueOf(s.Attributes, "plumbline."+key); v != "" {
					fmt.Fprintf(&out, " %s=%s", key, v)
				}
			}
			for _, e := range s.Events {
				fmt.Fprintf(&out, " [%s %s]", e.Name, valueOf(e.Attributes, "plumbline.kind")+valueOf(e.Attributes, "exception.message"))
			}
			if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
				fmt.Fprintf(&out, " error: %s", s.Status.Message)
			}
			out.WriteString("\n")
			write(string(s.SpanId), indent+"  ")
		}
	}
	write("", "")
	return out.String()
}

func valueOf(list []*commonpb.KeyValue, key string) string {
	for _, kv := range list {
		if kv.Key != key {
			continue
		}
		if n, ok := kv.Value.Value.(*commonpb.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return kv.Value.GetStringValue()
	}
	return ""
}

type agent struct {
	*reconcile.Reconciler
	fake   *store.Fake
	source *wanted
	tracer *trace.Tracer
	log    *bytes.Buffer
}

func newAgent(t *testing.T, endpoint string, mode state.Mode, s store.Store) *agent {
	t.Helper()
	a := &agent{fake: store.NewFake(state.Cilium117, storetest.Maps()), source: &wanted{}, log: &bytes.Buffer{}}
	if s == nil {
		s = a.fake
	}
	var err error
	if a.tracer, err = trace.New(trace.Config{Endpoint: endpoint, Version: "v1", Node: "n1", Log: slog.New(slog.NewTextHandler(a.log, nil))}); err != nil {
		t.Fatal(err)
	}
	a.Reconciler, err = reconcile.New(reconcile.Config{Store: s, Source: a.source, Mode: mode, Interval: time.Hour, Span: a.tracer.Span()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A first sync, a round that finds all well, one that finds drift and mends it, one
// whose source fails: each is a trace with its parts.
func TestRounds(t *testing.T) {
	c := newCollector(t)
	a := newAgent(t, c.URL, state.Own, nil)
	a.Round(t.Context())
	a.Round(t.Context())
	have, err := a.fake.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, _ := have.Tables[layout.ReverseNAT4].Row(0)
	if _, err := a.fake.Apply(t.Context(), []plan.Step{{Op: plan.Delete, Map: layout.ReverseNAT4, Key: key}}); err != nil {
		t.Fatal(err)
	}
	a.Round(t.Context())
	a.Round(t.Context())
	a.source.err = errors.New("the folder is gone")
	a.Round(t.Context())
	a.tracer.Close()
	want := `round status=InSync reason=Applied drifts=0 planned=4 applied=4 entries=4
  wanted
  read
  diff
  apply planned=4 applied=4
  read
  diff
round status=InSync reason=InSync drifts=0 planned=0 applied=0 entries=4
  wanted
  read
  diff
round status=OutOfSync reason=Unconfirmed drifts=0 planned=1 applied=0 entries=3
  wanted
  read
  diff
round status=InSync reason=DriftCorrected drifts=1 planned=1 applied=1 entries=4 [drift reverse-nat]
  wanted
  read
  diff
  apply planned=1 applied=1
  read
  diff
round status=InSync reason=SourceFailed drifts=0 planned=0 applied=0 entries=4 [exception the folder is gone] error: the folder is gone
  wanted [exception the folder is gone] error: the folder is gone
  read
  diff
`
	if diff := cmp.Diff(want, c.tree()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, path := range c.paths {
		if path != "/v1/traces" {
			t.Errorf("posted to %s", path)
		}
	}
	about := c.spans[0].Resource.Attributes
	for key, value := range map[string]string{"service.name": "plumb-agent", "service.version": "v1", "k8s.node.name": "n1"} {
		if got := valueOf(about, key); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
}

// A read that fails is an error of its own span and of the round's.
func TestReadFails(t *testing.T) {
	c := newCollector(t)
	a := newAgent(t, c.URL+"/elsewhere", state.Observe, &store.Faulty{Store: store.NewFake(state.Cilium117, nil), At: 1})
	a.Round(t.Context())
	a.tracer.Close()
	want := `round status=Unknown reason=ReadFailed drifts=0 planned=0 applied=0 entries=0 [exception injected fault] error: injected fault
  wanted
  read [exception injected fault] error: injected fault
`
	if diff := cmp.Diff(want, c.tree()); diff != "" || c.paths[0] != "/elsewhere" {
		t.Errorf("posted to %s (-want +got):\n%s", c.paths, diff)
	}
}

// A collector that is not there, or never answers, holds up no round, and the end of
// an agent for two seconds at most; what is lost is logged once.
func TestCollectorFails(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(release) })
	refuses := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refuses.Close)
	for name, test := range map[string]struct{ url, logged string }{
		"gone": {gone.URL, "traces are lost"}, "refuses": {refuses.URL, "404 Not Found"}, "hangs": {hangs.URL, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, test.url, state.Own, nil)
			for range 5000 { // more than are kept
				if r := a.Round(t.Context()); r.Status != reconcile.InSync {
					t.Fatal(r.Status)
				}
			}
			closed := make(chan struct{})
			go func() { a.tracer.Close(); close(closed) }()
			select {
			case <-closed:
			case <-time.After(20 * time.Second):
				t.Fatal("the tracer does not close")
			}
			if test.logged != "" && strings.Count(a.log.String(), test.logged) != 1 {
				t.Errorf("logged:\n%s", a.log)
			}
		})
	}
}

// Where no collector is named nothing follows a round.
func TestNone(t *testing.T) {
	a := newAgent(t, "", state.Own, nil)
	if a.tracer.Span() != nil {
		t.Error("something follows rounds")
	}
	a.tracer.Close()
}

// OpenTelemetry's own variables name a collector as well.
func TestEnvironment(t *testing.T) {
	for _, test := range []struct{ name, path, want string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "/base", "/base/v1/traces"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/as/it/is", "/as/it/is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCollector(t)
			t.Setenv(test.name, c.URL+test.path)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc, x=y")
			a := newAgent(t, "", state.Own, nil)
			a.Round(t.Context())
			a.tracer.Close()
			if diff := cmp.Diff([]string{test.want}, c.paths); diff != "" || c.headers[0] != "Bearer abc" {
				t.Errorf("headers %q (-want +got):\n%s", c.headers, diff)
			}
		})
	}
}

// What can't be sent to is said at once.
func TestBadEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"127.0.0.1:4318":    `--traces "127.0.0.1:4318"`,
		"grpc://host:4317":  "no http or https URL: want a collector's, such as http://127.0.0.1:4318",
		"http://":           "no http or https URL",
		"http://host:port/": "invalid port",
	} {
		if _, err := trace.New(trace.Config{Endpoint: endpoint}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", endpoint, err, want)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz")
	if _, err := trace.New(trace.Config{Endpoint: "http://host"}); err == nil || !strings.Contains(err.Error(), `header "a"`) {
		t.Errorf("a bad header: %v", err)
	}
}
