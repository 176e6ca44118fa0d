// SPDX-License-Identifier: Apache-2.0

package main

import "strconv"

// function gives what a template function returns for abstract arguments.
// A function that is not named here returns something made of its arguments.
func (m *miner) function(name string, args []abstract, f frame) abstract {
	switch name {
	case "include":
		return m.include(args)
	case "tpl":
		return m.tpl(args)
	case "toYaml", "toJson", "toPrettyJson", "toRawJson", "toToml", "toYamlPretty":
		m.whole(args)
		return union(args...)
	case "hasKey", "get", "index":
		return m.lookup(args)
	case "dig":
		return m.dig(args)
	case "dict":
		return record(args)
	case "list", "tuple":
		return abstract{items: args}
	case "lookup", "fromYaml", "fromYamlArray", "fromJson", "fromJsonArray", "eq", "ne", "lt", "le", "gt", "ge",
		"genCA", "genSignedCert", "genSelfSignedCert", "buildCustomCert",
		"kindIs", "kindOf", "typeOf", "typeIs", "semverCompare", "has", "len", "empty", "fail", "printf", "print":
		return abstract{}
	case "pick", "omit":
		return args[0]
	}
	return union(args...)
}

func (m *miner) include(args []abstract) abstract {
	if len(args) != 2 || !args[0].isText {
		return abstract{}
	}
	m.call(args[0].text, args[1])
	// The text a template gives still belongs to the option it stands behind.
	return abstract{paths: args[1].paths}
}

// tpl renders a text as a template. Where that text is a file of the chart,
// the file is mined; where it is a value, the value is rendered whole.
func (m *miner) tpl(args []abstract) abstract {
	if len(args) != 2 {
		return abstract{}
	}
	if name := args[0].file; name != "" && m.files[name] != nil {
		if m.trees[name] != nil || m.parse(name, string(m.files[name])) == nil {
			m.call(name, args[1])
		}
		return abstract{}
	}
	m.whole(args[:1])
	return args[0]
}

func (m *miner) whole(args []abstract) {
	for _, a := range args {
		for _, p := range a.paths {
			m.mark(m.usage.Whole, p)
		}
		for _, part := range a.fields {
			m.whole([]abstract{part})
		}
		m.whole(a.items)
	}
}

// lookup is hasKey, get and index: a map, then the names of fields.
func (m *miner) lookup(args []abstract) abstract {
	if len(args) == 0 {
		return abstract{}
	}
	v := args[0]
	for _, a := range args[1:] {
		switch n, err := strconv.Atoi(a.text); {
		case a.isText:
			v = m.field(v, a.text)
		case err == nil && n >= 0 && n < len(v.items):
			v = v.items[n]
		default:
			v = m.anyOf(v)
		}
	}
	return v
}

// anyOf is an element under a name that is not a constant.
func (m *miner) anyOf(v abstract) abstract {
	var out abstract
	for _, p := range v.paths {
		m.mark(m.usage.Walked, p)
		out.paths = append(out.paths, join(p, "*"))
	}
	return out
}

// dig is names, a default and a map. It minds no missing map on its way.
func (m *miner) dig(args []abstract) abstract {
	if len(args) < 3 {
		return abstract{}
	}
	m.digging = true
	defer func() { m.digging = false }()
	v := args[len(args)-1]
	for _, a := range args[:len(args)-2] {
		v = m.field(v, a.text)
	}
	return v
}

func record(args []abstract) abstract {
	fields := map[string]abstract{}
	for i := 0; i+1 < len(args); i += 2 {
		fields[args[i].text] = args[i+1]
	}
	return abstract{fields: fields}
}
