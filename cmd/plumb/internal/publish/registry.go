// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Scheme stands in front of the address of an artifact, as Flux writes it.
const Scheme = "oci://"

// errPlain says that a registry would be spoken to without TLS.
var errPlain = errors.New("only a registry on this machine is spoken to without TLS: --insecure allows it")

// Target is a tag of a registry.
type Target struct {
	tag      name.Tag
	insecure bool
}

// Parse reads oci://REGISTRY/REPOSITORY:TAG. insecure allows to speak to a
// registry without TLS; to one on this machine that is always allowed.
func Parse(address string, insecure bool) (Target, error) {
	rest, ok := strings.CutPrefix(address, Scheme)
	if !ok {
		return Target{}, fmt.Errorf("%q: want %sREGISTRY/REPOSITORY:TAG", address, Scheme)
	}
	registry, repository, ok := strings.Cut(rest, "/")
	if !ok || registry == "" || repository == "" {
		return Target{}, fmt.Errorf("%q names no repository of a registry: want %sREGISTRY/REPOSITORY:TAG", address, Scheme)
	}
	if strings.Contains(repository, "@") {
		return Target{}, fmt.Errorf("%q: what is published has the digest that it has: want a tag", address)
	}
	if !strings.Contains(repository, ":") {
		return Target{}, fmt.Errorf("%q names no tag: want %s:TAG, such as the environment's release", address, address)
	}
	options := []name.Option{name.StrictValidation}
	if insecure {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(rest, options...)
	if err != nil {
		return Target{}, fmt.Errorf("%q: %w", address, err)
	}
	return Target{tag, insecure}, nil
}

// String gives the address that Parse reads.
func (t Target) String() string { return Scheme + t.tag.Name() }

// Registry is the host that the target is on, with its port.
func (t Target) Registry() string { return t.tag.RegistryStr() }

// At is the address of what has a digest in the target's repository.
func (t Target) At(digest string) string { return Scheme + t.tag.Context().Digest(digest).Name() }

// Push brings an artifact to the target, with the credentials of the Docker
// configuration. It gives the digest that the tag had before; "" where there was
// no tag. What is there already is left alone.
func (t Target) Push(ctx context.Context, p *Packed) (before string, err error) {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("plumb"),
		remote.WithTransport(guarded{t.insecure, remote.DefaultTransport}),
	}
	held, err := remote.Head(t.tag, options...)
	switch {
	case err == nil:
		before = held.Digest.String()
	case !isMissing(err):
		return "", t.explain("look up", err)
	}
	if before == p.Digest {
		return before, nil
	}
	if err := remote.Write(t.tag, p.image, options...); err != nil {
		return before, t.explain("push to", err)
	}
	return before, nil
}

// isMissing tells whether a registry has no such tag or repository.
func isMissing(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound
}

// explain says what an error of a registry means, and what to do.
func (t Target) explain(what string, err error) error {
	var refused *transport.Error
	var network *net.OpError
	var resolve *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errPlain):
		return fmt.Errorf("%s %s: %w", what, t, err)
	case errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%s %s: the registry refuses %s: %w", what, t, t.credentials(), err)
	case errors.As(err, &resolve), errors.As(err, &network):
		return fmt.Errorf("%s %s: no connection to %s: %w", what, t, t.Registry(), err)
	}
	return fmt.Errorf("%s %s: %w", what, t, err)
}

// credentials says which were used.
func (t Target) credentials() string {
	auth, err := authn.DefaultKeychain.Resolve(t.tag.Context())
	if err != nil || auth == authn.Anonymous {
		return fmt.Sprintf("a user without credentials; docker login %s stores some", t.Registry())
	}
	return fmt.Sprintf("the credentials that the Docker configuration has; docker login %s stores others", t.Registry())
}

// guarded speaks to registries that are not on this machine with TLS alone, and so
// keeps credentials and content off the wire.
type guarded struct {
	insecure bool
	next     http.RoundTripper
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.insecure && !isLoopback(r.URL) {
		return nil, errPlain
	}
	return g.next.RoundTrip(r)
}

func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
