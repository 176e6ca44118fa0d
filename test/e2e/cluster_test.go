// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// ports of what listens; the network namespace is the tests' own.
const (
	etcdPort = 2379
	apiPort  = 6443
)

// adminToken is that of a member of system:masters. What is tested has tokens of
// its own, and no right that its manifests do not give it.
const adminToken = "admin"

// cluster is a control plane: etcd and the API server.
type cluster struct {
	client.WithWatch // of an administrator
	config           *rest.Config
	dir              string
	etcd, api        *process
}

// newCluster starts a control plane of the test's own.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	require(t)
	c := &cluster{dir: t.TempDir()}
	writeKey(t, filepath.Join(c.dir, "sa.key"))
	tokens := adminToken + ",admin,admin,system:masters\n"
	if err := os.WriteFile(filepath.Join(c.dir, "tokens.csv"), []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", etcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", etcdPort+1)
	c.etcd = start(t, nil, tool("etcd"), "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	c.startAPI(t)
	c.config = c.as(adminToken)
	var err error
	if c.WithWatch, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme(t)}); err != nil {
		t.Fatal(err)
	}
	return c
}

func scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(s), apiextensionsv1.AddToScheme(s), kustomizev1.AddToScheme(s), sourcev1.AddToScheme(s))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startAPI starts the API server, and returns once it is ready: also for another
// time, after kill.
func (c *cluster) startAPI(t testing.TB) {
	t.Helper()
	key := filepath.Join(c.dir, "sa.key")
	c.api = start(t, nil, tool("kube-apiserver"),
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", etcdPort), "--cert-dir="+filepath.Join(c.dir, "certs"),
		"--bind-address=0.0.0.0", "--advertise-address="+nodeAddress, fmt.Sprintf("--secure-port=%d", apiPort), "--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC", "--allow-privileged=true", "--token-auth-file="+filepath.Join(c.dir, "tokens.csv"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--enable-priority-and-fairness=false", "--endpoint-reconciler-type=none")
	poll(t, c.api, "the API server is ready", func(ctx context.Context) error {
		if _, err := os.Stat(c.certificate()); err != nil {
			return err
		}
		config := c.as(adminToken)
		transport, err := rest.HTTPClientFor(config)
		if err != nil {
			return err
		}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := transport.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// certificate is the API server's own, which holds its CA.
func (c *cluster) certificate() string { return filepath.Join(c.dir, "certs", "apiserver.crt") }

// as is how a client with a token reaches the API server.
func (c *cluster) as(token string) *rest.Config {
	return &rest.Config{
		Host:        "https://" + net.JoinHostPort(nodeAddress, fmt.Sprint(apiPort)),
		BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: c.certificate()},
		QPS: -1,
	}
}

// kubeconfig is a file by which a client with a token reaches the API server.
func (c *cluster) kubeconfig(t testing.TB, token string) string {
	t.Helper()
	config := c.as(token)
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: e2e
contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]
clusters: [{name: e2e, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: e2e, user: {token: %q}}]
`, config.Host, config.CAFile, token)
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// poll tries what can't be watched, until it succeeds or the process has ended.
func poll(t testing.TB, p *process, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("%s: %s has ended", what, p.name)
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
	}
}

// writeKey writes what service accounts' tokens are signed with.
func writeKey(t testing.TB, name string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
