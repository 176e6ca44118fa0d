// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/chart"
)

// mostIndexBytes bounds a repository's index; that of helm.cilium.io has about 1 MB.
const mostIndexBytes = 64 << 20

// NewClient is a client for registries and repositories. It takes the proxy of
// the environment, and follows no redirect to plain http.
func NewClient() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultClient // replaced by whoever links this package
	}
	transport = transport.Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport, Timeout: 5 * time.Minute, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 10 {
			return errors.New("more than 10 redirects")
		}
		if r.URL.Scheme != "https" && !loopback(r.URL.Hostname()) {
			return fmt.Errorf("redirect to %s, which is not encrypted", r.URL.Redacted())
		}
		return nil
	}}
}

// loopback tells whether a host is this machine itself.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// remote finds a chart in the cache, or else where the source leads.
func (f *Finder) remote(ctx context.Context, r chart.Reference) (*Archive, error) {
	if r.Digest != "" && !digestForm.MatchString(r.Digest) {
		return nil, fmt.Errorf("digest %q: want sha256: and 64 hexadecimal digits", r.Digest)
	}
	data, err := f.cached(r)
	if err != nil {
		return nil, err
	}
	if data != nil {
		return open(data, r.Source, r)
	}
	source, err := url.Parse(r.Source)
	if err != nil || source.Host == "" {
		return nil, &chart.Problem{Code: chart.CodeSource, About: chart.AboutSource, Message: fmt.Sprintf("%q is no address", r.Source)}
	}
	if source.User != nil {
		return nil, &chart.Problem{
			Code: chart.CodeSource, About: chart.AboutSource, Message: source.Redacted() + " holds credentials, and environments are for all to read",
			Hint: "take them out; for an OCI registry log in with docker login or helm registry login",
		}
	}
	if data, err = f.download(ctx, source, r); err != nil {
		return nil, err
	}
	if err := verify(data, r.Source, r); err != nil {
		return nil, err
	}
	found, err := open(data, r.Source, r)
	if err != nil {
		return nil, err
	}
	f.say("%s %s: %s", r.Name, r.Version, found.Digest)
	return found, f.keep(r, data)
}

func (f *Finder) download(ctx context.Context, source *url.URL, r chart.Reference) ([]byte, error) {
	switch {
	case source.Scheme == "oci":
		return f.pull(ctx, source, r)
	case source.Scheme == "https", source.Scheme == "http" && loopback(source.Hostname()):
		return f.fetch(ctx, source, r)
	}
	return nil, &chart.Problem{
		Code: chart.CodeSource, About: chart.AboutSource,
		Message: fmt.Sprintf("%s is not encrypted: whoever is on the way can hand out another chart", r.Source),
		Hint:    "write https://; plain http is for this machine alone",
	}
}

// index is what is read of a Helm repository's index.yaml.
type index struct {
	Entries map[string][]struct {
		Version string   `json:"version"`
		URLs    []string `json:"urls"`
		Digest  string   `json:"digest"`
	} `json:"entries"`
}

// fetch takes a chart from a Helm repository.
func (f *Finder) fetch(ctx context.Context, source *url.URL, r chart.Reference) ([]byte, error) {
	at := source.JoinPath("index.yaml")
	f.say("%s %s: reading %s", r.Name, r.Version, at.Redacted())
	text, err := f.get(ctx, at, mostIndexBytes, r)
	if err != nil {
		return nil, err
	}
	var list index
	if err := yaml.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", at.Redacted(), err)
	}
	versions := make([]string, 0, len(list.Entries[r.Name]))
	for _, e := range list.Entries[r.Name] {
		versions = append(versions, e.Version)
		if e.Version != r.Version || len(e.URLs) == 0 {
			continue
		}
		address, err := source.JoinPath("/").Parse(e.URLs[0])
		if err != nil {
			return nil, fmt.Errorf("%s: address of %s %s: %w", at.Redacted(), r.Name, r.Version, err)
		}
		return f.fetchArchive(ctx, address, e.Digest, r)
	}
	return nil, missing(source.Redacted(), versions, r)
}

// fetchArchive takes an archive that an index names, and holds it against the
// digest that the index has for it.
func (f *Finder) fetchArchive(ctx context.Context, address *url.URL, digest string, r chart.Reference) ([]byte, error) {
	if address.Scheme != "https" && !loopback(address.Hostname()) {
		return nil, fmt.Errorf("the index of %s leads to %s, which is not encrypted", r.Source, address.Redacted())
	}
	f.say("%s %s: downloading %s", r.Name, r.Version, address.Redacted())
	data, err := f.get(ctx, address, mostBytes, r)
	if err != nil {
		return nil, err
	}
	if digest == "" {
		return data, nil
	}
	if want := "sha256:" + strings.TrimPrefix(digest, "sha256:"); digestOf(data) != want {
		return nil, &chart.Problem{
			Code: chart.CodeDigest, About: chart.AboutSource,
			Message: fmt.Sprintf("%s has the digest %s, and the repository's index says %s: it was cut short, or changed on the way", address.Redacted(), digestOf(data), want),
			Hint:    "try again; if it stays so, tell whoever keeps the repository, and do not use the chart",
		}
	}
	return data, nil
}

// get reads what is at an address.
func (f *Finder) get(ctx context.Context, address *url.URL, limit int64, r chart.Reference) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", r.Source, err)
	}
	response, err := f.Client.Do(request)
	if err != nil {
		return nil, unreachable(err, r)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotFound, response.StatusCode == http.StatusGone:
		return nil, &chart.Problem{
			Code: chart.CodeNotFound, About: chart.AboutSource,
			Message: fmt.Sprintf("%s is not there (%s)", address.Redacted(), response.Status),
			Hint:    "a Helm repository has an index.yaml; a chart in an OCI registry is named oci://REPOSITORY/CHART",
		}
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", address.Redacted(), response.Status)
	}
	return readAll(response.Body, limit, address.Redacted())
}

// unreachable says what to do without the network.
func unreachable(err error, r chart.Reference) error {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Errorf("reach %s: %w; without network take --chart PATH, a folder or archive of the chart", r.Source, err)
	}
	return fmt.Errorf("reach %s: %w", r.Source, err)
}

// missing says which versions there are instead.
func missing(from string, have []string, r chart.Reference) error {
	p := &chart.Problem{
		Code: chart.CodeNotFound, About: chart.AboutVersion,
		Message: fmt.Sprintf("%s has no %s %s", from, r.Name, r.Version),
		Hint:    "it has " + near(r.Version, have),
	}
	if len(have) == 0 {
		p.About, p.Message, p.Hint = chart.AboutSource, fmt.Sprintf("%s has no chart %s", from, r.Name), ""
	}
	return p
}
