// SPDX-License-Identifier: Apache-2.0

package fleet_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// control is a control plane on loopback: etcd and the API server that the end-to-end
// tests build.
type control struct {
	dir, address string
	client       dynamic.Interface
	rest         rest.Interface
}

// counted is the key under which a context has what a write is counted by.
type counted struct{}

type counting struct{ http.RoundTripper }

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if n, ok := r.Context().Value(counted{}).(*atomic.Int64); ok && r.Method != http.MethodGet {
		n.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

func newControl(t *testing.T) *control {
	t.Helper()
	tools := os.Getenv("PLUMB_E2E_TOOLS")
	if tools == "" {
		t.Fatal("needs PLUMB_E2E_TOOLS, the folder that test/e2e/tools/build prints")
	}
	c := &control{dir: t.TempDir()}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "sa.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	c.write(t, "tokens.csv", "admin,admin,admin,system:masters\n")
	ports := free(t, 3)
	etcd, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	c.start(t, nil, filepath.Join(tools, "etcd"), "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	api := c.start(t, nil, filepath.Join(tools, "kube-apiserver"), "--etcd-servers="+etcd, "--cert-dir="+filepath.Join(c.dir, "certs"),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+ports[2], "--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC", "--token-auth-file="+filepath.Join(c.dir, "tokens.csv"), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+filepath.Join(c.dir, "sa.key"), "--service-account-signing-key-file="+filepath.Join(c.dir, "sa.key"),
		"--disable-admission-plugins=ServiceAccount", "--enable-priority-and-fairness=false", "--endpoint-reconciler-type=none")
	c.address = "https://127.0.0.1:" + ports[2]
	c.ready(t, api)
	return c
}

func (c *control) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ready waits for the API server, and makes the clients.
func (c *control) ready(t *testing.T, api *program) {
	t.Helper()
	late := time.Now().Add(2 * time.Minute)
	for {
		cfg := &rest.Config{Host: c.address, BearerToken: "admin", QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(c.dir, "certs", "apiserver.crt")}}
		cfg.Wrap(func(inner http.RoundTripper) http.RoundTripper { return counting{inner} })
		cfg.ContentType = "application/json"
		client, err := kubernetes.NewForConfig(cfg)
		if err == nil {
			_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		}
		if err == nil {
			c.client, err = dynamic.NewForConfig(cfg)
			c.rest = client.Discovery().RESTClient()
		}
		if err == nil {
			return
		}
		if time.Now().After(late) || api.ended() {
			t.Fatalf("the API server is not ready: %v\n%s", err, api.said())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *control) kubeconfig(t *testing.T) string {
	t.Helper()
	return c.write(t, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: scale
contexts: [{name: scale, context: {cluster: scale, user: scale}}]
clusters: [{name: scale, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: scale, user: {token: admin}}]
`, c.address, filepath.Join(c.dir, "certs", "apiserver.crt")))
}

// create makes an object, as soon as its resource is served.
func (c *control) create(t *testing.T, gvr schema.GroupVersionResource, o *unstructured.Unstructured) {
	t.Helper()
	var err error
	for range 300 {
		if _, err = c.client.Resource(gvr).Namespace(o.GetNamespace()).Create(t.Context(), o, metav1.CreateOptions{}); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("create %s %s: %v", o.GetKind(), o.GetName(), err)
}

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func plumbline(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "plumbline.dev", Version: "v1alpha1", Resource: resource}
}

func named(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// parallel does n things, sixteen at a time.
func parallel(n int, do func(int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// free finds ports that nobody listens at.
func free(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// build builds plumb-agent.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plumb-agent")
	command := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "plumbline.dev/plumbline/cmd/plumb-agent")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build plumb-agent: %v\n%s", err, out)
	}
	return path
}

// program is a process that ends with the test at the latest.
type program struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

func (c *control) start(t *testing.T, env []string, path string, args ...string) *program {
	t.Helper()
	out, err := os.CreateTemp(c.dir, filepath.Base(path)+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &program{cmd: exec.CommandContext(context.Background(), path, args...), log: out.Name(), done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// said is the end of what it said.
func (p *program) said() string {
	data, _ := os.ReadFile(p.log)
	return string(data[max(0, len(data)-4000):])
}

// memory is a line of /proc/PID/status, in bytes.
func (p *program) memory(t *testing.T, line string) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(data)) {
		if name, rest, _ := strings.Cut(text, ":"); name == line {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib * 1024
		}
	}
	t.Fatalf("no %s", line)
	return 0
}

// seconds is the processor time that it has taken.
func (p *program) seconds(t *testing.T) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	if err != nil {
		t.Fatal(err)
	}
	const hertz = 100 // USER_HZ, the same on all of Linux
	return (user + system) / hertz
}
