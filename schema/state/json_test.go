// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The JSON is an interface of the command line: its names and their order are
// compared as bytes.
func TestStateJSON(t *testing.T) {
	s, err := Parse(`layout cilium/1.17
frontend 10.96.50.104:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=test/echo port=http backends=10.244.1.1:80/TCP,[fd00::2]:80/TCP inactive=10.244.1.9:80/TCP
backend 10.244.1.1:80/TCP state=active zone=0
range 172.16.1.1:80/TCP cidr=10.0.0.0/8
`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"layout":"cilium/1.17",` +
		`"frontends":[{"address":"10.96.50.104","port":80,"protocol":"TCP","scope":"external",` +
		`"type":"ClusterIP","flags":["non-routable"],"algorithm":"random","affinityTimeoutSeconds":0,` +
		`"service":"test/echo","portName":"http",` +
		`"backends":["10.244.1.1:80/TCP","[fd00::2]:80/TCP"],"inactive":["10.244.1.9:80/TCP"]}],` +
		`"backends":[{"address":"10.244.1.1","port":80,"protocol":"TCP","state":"active","zone":0}],` +
		`"sourceRanges":[{"frontend":"172.16.1.1:80/TCP","cidr":"10.0.0.0/8"}],` +
		`"affinityMatches":[],"maglev":[],"attachments":[],"maps":[]}`
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFrontendJSONOfADump(t *testing.T) {
	s, err := Parse("layout -\nfrontend 10.0.0.1:80/TCP/i type=NodePort flags=- alg=undef affinity=0 l7port=9 service=- port=- backends=- inactive=- revnat=7 ids=-\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(s.Frontends[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"address":"10.0.0.1","port":80,"protocol":"TCP","scope":"internal","type":"NodePort","flags":[],"algorithm":"undef",` +
		`"affinityTimeoutSeconds":0,"l7ProxyPort":9,"service":"","portName":"","backends":[],"inactive":[],"ids":{"reverseNat":7,"backends":{}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	const lists = `"frontends":[],"backends":[],"sourceRanges":[],"affinityMatches":[],"maglev":[],"attachments":[],"maps":[]`
	backends := func(list string) string {
		return `{"layout":"cilium/1.17",` + strings.Replace(lists, `"backends":[]`, `"backends":`+list, 1) + `}`
	}
	for name, c := range map[string]struct{ in, want string }{
		"unknown field":         {`{"layout":"cilium/1.17","more":1,` + lists + `}`, `unknown field "more"`},
		"no layout":             {`{` + lists + `}`, `layout is missing`},
		"null list":             {backends("null"), `backends is missing: want a list`},
		"missing list":          {`{"layout":"cilium/1.17"}`, `maps is missing: want a list`},
		"unknown nested field":  {backends(`[{"address":"10.0.0.1","port":1,"protocol":"TCP","state":"active","zone":0,"id":3}]`), `unknown field "id"`},
		"no address":            {backends(`[{"port":1,"protocol":"TCP","state":"active","zone":0}]`), `backends[0]: backend {"port":1,"protocol":"TCP","state":"active","zone":0}: address is missing`},
		"address with a zone":   {backends(`[{"address":"fe80::1%eth0","port":1,"protocol":"TCP","state":"active","zone":0}]`), `a map holds no zone`},
		"unknown word":          {backends(`[{"address":"10.0.0.1","port":1,"protocol":"TCP","state":"asleep","zone":0}]`), `unknown backend state "asleep"`},
		"range without a CIDR":  {strings.Replace(backends("[]"), `"sourceRanges":[]`, `"sourceRanges":[{"frontend":"10.0.0.1:80/TCP"}]`, 1), `sourceRanges[0]: cidr is missing`},
		"frontend with no list": {strings.Replace(backends("[]"), `"frontends":[]`, `"frontends":[{"address":"10.0.0.1","port":80,"protocol":"TCP","flags":[],"backends":[]}]`, 1), `inactive is missing`},
		"two wrong backends":    {backends(`[{"address":"10.0.0.1"},{"address":"x"}]`), `backends[1]`},
	} {
		var s State
		err := json.Unmarshal([]byte(c.in), &s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
