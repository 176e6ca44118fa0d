// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The variables by which OpenTelemetry's exporters are told of a collector
// (OpenTelemetry Protocol Exporter specification).
const (
	envTraces  = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" // the URL as it is
	envAll     = "OTEL_EXPORTER_OTLP_ENDPOINT"        // /v1/traces comes behind it
	envHeaders = "OTEL_EXPORTER_OTLP_HEADERS"         // NAME=VALUE, by commas, in URL encoding

	envResource = "OTEL_RESOURCE_ATTRIBUTES"
)

const (
	tracesPath = "/v1/traces"
	// patience is how long a collector may take to answer.
	patience = 10 * time.Second
)

// client posts spans by OTLP over HTTP, in protobuf. OpenTelemetry's own client for it
// also links gRPC and, through its debugging page, html/template; that keeps the linker
// from leaving out any method of any type, and an agent of 50 MB has 81.
type client struct {
	url     string
	headers http.Header
	http    http.Client
}

// endpointOf gives the URL that spans are posted to, or none.
func endpointOf(flag string) (string, error) {
	from, text := "--traces", flag
	if text == "" {
		from, text = envTraces, os.Getenv(envTraces)
	}
	if text == "" {
		from, text = envAll, os.Getenv(envAll)
	}
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = errors.New("no http or https URL")
	}
	if err != nil {
		return "", fmt.Errorf("%s %q: %w: want a collector's, such as http://127.0.0.1:4318", from, text, err)
	}
	if from == envAll || from == "--traces" && strings.Trim(u.Path, "/") == "" {
		u = u.JoinPath(tracesPath)
	}
	return u.String(), nil
}

func newClient(endpoint, headers string) (*client, error) {
	c := &client{url: endpoint, headers: http.Header{"Content-Type": {"application/x-protobuf"}}, http: http.Client{Timeout: patience}}
	for pair := range strings.SplitSeq(headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return nil, fmt.Errorf("%s: header %q: want NAME=VALUE, in URL encoding", envHeaders, strings.TrimSpace(name))
		}
		c.headers.Set(strings.TrimSpace(name), value)
	}
	return c, nil
}

// Start and Stop have nothing to do: a connection is made with the first spans.
func (c *client) Start(context.Context) error { return nil }

func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces posts spans. The request's message is on the wire what TracesData is.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = c.headers.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // to the end, so that the connection serves again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %q", c.url, response.Status, said)
	}
	return err
}
