// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

// What an environment compiles to is what a Datapath takes, field by field: one that
// lacks here would be refused or dropped, one that lacks there no agent would read.
func TestSpecHasTheSettings(t *testing.T) {
	want, got := fields(reflect.TypeFor[state.Settings](), ""), fields(reflect.TypeFor[DatapathSpec](), "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of Settings and of a Datapath's spec (-want +got):\n%s", diff)
	}
	if !slices.Contains(got, "services.ports.backends") {
		t.Errorf("fields are %q: this test does not look below them", got)
	}
}

// fields lists the paths of all that a type's JSON holds.
func fields(t reflect.Type, at string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	// What is a text or a number in JSON has no fields.
	if t.Kind() != reflect.Struct || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return []string{at}
	}
	var list []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		list = append(list, fields(t.Field(i).Type, strings.TrimPrefix(at+"."+name, "."))...)
	}
	slices.Sort(list)
	return list
}
