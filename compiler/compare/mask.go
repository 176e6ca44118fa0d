// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"encoding/json"
	"regexp"
	"slices"
)

// Masked stands in the place of what is secret. Two that differ look the same:
// the difference itself says that they do.
const Masked = "(masked)"

var (
	// secretName ends the names of passwords and the like. Names of Secrets, which
	// say where one lies, end otherwise.
	secretName = regexp.MustCompile(`(?i)(password|passwd|passphrase|token|secret|credentials?|api_?key|private_?key|client_?key|secret_?key|access_?key|pre_?shared_?key)$`)
	// reference names a Secret.
	reference = regexp.MustCompile(`(?i)^(existing_?secret|tls_?secret|pull_?secrets?)$`)
	// material is part of a certificate or its key, if it stands among such.
	material = regexp.MustCompile(`(?i)^(key|cert|crt|ca|ca_?cert|ca_?crt|ca_?bundle|content|bundle|pem)$|\.(key|crt|pem)$`)
	// telling is text that holds a secret itself: an argument, an address with a
	// password, PEM.
	telling = regexp.MustCompile(`(?i)(password|passwd|token|secret|api[-_]?key)[ ]*[=:][ ]*[^ ]|://[^/ :@]+:[^/ @]+@|-----BEGIN `)
	// certificates are what certificates stand below.
	certificates = regexp.MustCompile(`(?i)(^|[a-z._-])tls$|^tls|^ca$|cabundle|certs?$|certificates?$|^ssl$`)
)

// Mask gives a value, nested as it may be, without what is secret in it. names
// are the path that leads to it.
func Mask(v any, names ...string) any {
	var m masker
	return m.value(v, names)
}

// masker masks what is secret below a path.
type masker struct{ found bool }

// leaf gives a leaf, or what it holds, without secrets.
func (m *masker) leaf(v any, steps []step) any {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.name
	}
	return m.value(v, names)
}

func (m *masker) value(v any, names []string) any {
	switch v := v.(type) {
	case map[string]any:
		return m.object(v, names)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = m.value(v[i], names)
		}
		return out
	case string:
		if v != "" && (secret(names) || telling.MatchString(v)) {
			m.found = true
			return Masked
		}
	case json.Number:
		if secret(names) {
			m.found = true
			return Masked
		}
	}
	return v
}

// object masks an object's fields. Of {name: TOKEN, value: …}, as containers
// have their environment, the name tells.
func (m *masker) object(object map[string]any, names []string) map[string]any {
	out := make(map[string]any, len(object))
	for name, v := range object {
		path := append(slices.Clip(names), name)
		if label, ok := object["name"].(string); ok && name == "value" {
			path = append(slices.Clip(names), label)
		}
		out[name] = m.value(v, path)
	}
	return out
}

// secret tells by a path's names whether its value is secret.
func secret(names []string) bool {
	if len(names) == 0 {
		return false
	}
	last := names[len(names)-1]
	if last == "value" && len(names) > 1 { // of an element of a list, named before
		last = names[len(names)-2]
	}
	if secretName.MatchString(last) && !reference.MatchString(last) {
		return true
	}
	return material.MatchString(last) && slices.ContainsFunc(names[:len(names)-1], certificates.MatchString)
}

// secretObject masks all that a Secret holds, whatever its name.
func secretObject(o map[string]any) map[string]any {
	out := make(map[string]any, len(o))
	for name, v := range o {
		if content, ok := v.(map[string]any); ok && (name == "data" || name == "stringData") {
			blank := make(map[string]any, len(content))
			for key := range content {
				blank[key] = Masked
			}
			v = blank
		}
		out[name] = v
	}
	return out
}

// masked gives a difference without its secrets, and whether it had any.
func (d Difference) masked() (Difference, bool) {
	var m masker
	switch ofSecret := d.Part == Manifests && d.Object.Kind == "Secret"; {
	case ofSecret && d.Path == "":
		d.From, d.To, m.found = wholeSecret(d.From), wholeSecret(d.To), true
	case ofSecret && (d.steps[0].name == "data" || d.steps[0].name == "stringData"):
		d.From, d.To, m.found = blank(d.From), blank(d.To), true
	default:
		d.From, d.To = m.leaf(d.From, d.steps), m.leaf(d.To, d.steps)
	}
	return d, m.found
}

func wholeSecret(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	return secretObject(object)
}

func blank(v any) any {
	if v == nil {
		return nil
	}
	return Masked
}
