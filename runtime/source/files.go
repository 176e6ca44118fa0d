// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	kjson "sigs.k8s.io/json"

	"plumbline.dev/plumbline/schema/state"
)

// Files reads Services, EndpointSlices, Pods, the Node, CiliumEndpoints (alone or
// in slices), CiliumNodes, CiliumLocalRedirectPolicies and CiliumEnvoyConfigs from YAML or JSON files, and from folders with everything below them that ends in .yaml, .yml or
// .json. node is the node that the Snapshot is for: what the caller left empty of
// it is taken from the Node object of its name.
//
// An unreadable path is an error. What could be read but not understood is a
// Notice with file, line, object and field; beside one of severity Error the
// Snapshot is incomplete, and nothing may be pruned by it (I1, I2).
func Files(paths []string, node state.Node) (*state.Snapshot, []state.Notice, error) {
	r := &reader{snapshot: &state.Snapshot{Node: node}, ignored: map[string]*ignored{}}
	files, err := r.find(paths)
	for _, file := range files {
		data, readErr := os.ReadFile(file)
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("read snapshot: %w", readErr))
			continue
		}
		r.file(file, data)
	}
	if err != nil {
		return nil, nil, err
	}
	r.finish()
	return r.snapshot, r.notices, nil
}

// Read reads the objects of one document or more, YAML or JSON, that are held already.
// Notices have no place in it.
func Read(data []byte, node state.Node) (*state.Snapshot, []state.Notice) {
	r := &reader{snapshot: &state.Snapshot{Node: node}, ignored: map[string]*ignored{}}
	r.file("", data)
	r.finish()
	for i := range r.notices {
		r.notices[i].Pos = state.Position{}
	}
	return r.snapshot, r.notices
}

// reader collects objects and what there is to say about them.
type reader struct {
	snapshot *state.Snapshot
	notices  []state.Notice
	ignored  map[string]*ignored // by kind
	nodes    []string            // names of the Node objects
}

// ignored counts the objects of a kind that has no bearing on the datapath.
type ignored struct {
	count int
	first state.Position
}

// find lists the files under the paths, each once, in the order of the paths.
func (r *reader) find(paths []string) ([]string, error) {
	var files []string
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			var below []string
			below, err = walk(path)
			if err == nil && len(below) == 0 {
				r.say(state.Warning, "snapshot/empty-folder", "Folder "+path, state.Position{}, "", "nothing in it ends in .yaml, .yml or .json")
			}
			files = append(files, below...)
		} else if err == nil {
			files = append(files, filepath.Clean(path))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read snapshot: %w", err))
		}
	}
	return unique(files), errors.Join(errs...)
}

func unique(files []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(f string) bool {
		defer func() { seen[f] = true }()
		return seen[f]
	})
}

func walk(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden(root, path, entry) {
			return fs.SkipDir
		}
		switch filepath.Ext(path) {
		case ".yaml", ".yml", ".json":
			if !entry.IsDir() {
				files = append(files, path)
			}
		}
		return nil
	})
	return files, err
}

// hidden tells of the folders in which a mounted ConfigMap keeps its files: links
// beside them lead to those that count.
func hidden(root, path string, entry fs.DirEntry) bool {
	return path != root && entry.IsDir() && strings.HasPrefix(entry.Name(), "..")
}

func (r *reader) say(severity state.Severity, code, object string, pos state.Position, hint, format string, args ...any) {
	r.notices = append(r.notices, state.Notice{Code: code, Severity: severity, Object: object, Pos: pos, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// file reads one file's documents.
func (r *reader) file(path string, data []byte) {
	documents, err := parse(bytes.NewReader(data))
	for _, doc := range documents {
		r.document(path, doc)
	}
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		r.say(state.Error, "snapshot/not-yaml", "File", state.Position{File: path, Line: lineIn(text)}, "mend the file; what stands behind this place was not read", "the file is no YAML: %s", text)
	}
}

var lineText = regexp.MustCompile(`line (\d+)`)

// lineIn finds the line that a parser names.
func lineIn(text string) int {
	if m := lineText.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
	}
	return 1
}

// document reads one document: an object, or a list of objects.
func (r *reader) document(path string, doc *yaml.Node) {
	pos := state.Position{File: path, Line: doc.Line}
	kind, version := text(field(doc, "kind")), text(field(doc, "apiVersion"))
	switch {
	case kind == "" && version == "":
		r.say(state.Warning, "snapshot/not-an-object", "Document", pos, "", "it has neither apiVersion nor kind: it is no Kubernetes object and is left out")
	case kind == "" || version == "":
		r.say(state.Error, "snapshot/incomplete-object", "Document", pos, "give both apiVersion and kind", "apiVersion is %q and kind is %q; the object is left out", version, kind)
	case strings.HasSuffix(kind, "List") && field(doc, "items") != nil:
		r.list(path, doc, strings.TrimSuffix(kind, "List"), version)
	default:
		r.object(version, kind, doc, pos)
	}
}

// list reads the items of a list; those of a typed list may leave their kind out.
func (r *reader) list(path string, doc *yaml.Node, kind, version string) {
	items := field(doc, "items")
	if items.Kind != yaml.SequenceNode {
		if items.ShortTag() != "!!null" {
			r.say(state.Error, "snapshot/malformed-object", kind+"List", state.Position{File: path, Line: items.Line}, "", "items: want a list")
		}
		return
	}
	for _, item := range items.Content {
		item = resolve(item)
		if kind != "" && text(field(item, "kind")) == "" && item.Kind == yaml.MappingNode {
			r.object(version, kind, item, state.Position{File: path, Line: item.Line})
			continue
		}
		r.document(path, item)
	}
}

// object reads one object of a kind that the datapath depends on and counts any
// other.
func (r *reader) object(version, kind string, doc *yaml.Node, pos state.Position) {
	switch version + " " + kind {
	case "v1 Service":
		if in, ok := decode[corev1.Service](r, kind, doc, pos); ok {
			out, notices := Service(in)
			out.Pos = pos
			r.snapshot.Services = append(r.snapshot.Services, out)
			r.place(notices, doc, pos)
		}
	case "discovery.k8s.io/v1 EndpointSlice":
		if in, ok := decode[discoveryv1.EndpointSlice](r, kind, doc, pos); ok {
			out, notices := EndpointSlice(in)
			out.Pos = pos
			r.snapshot.Slices = append(r.snapshot.Slices, out)
			r.place(notices, doc, pos)
		}
	case "v1 Pod":
		if in, ok := decode[corev1.Pod](r, kind, doc, pos); ok {
			out, notices := Pod(in)
			out.Pos = pos
			r.snapshot.Pods = append(r.snapshot.Pods, out)
			r.place(notices, doc, pos)
		}
	case "v1 Node":
		r.node(kind, doc, pos)
	default:
		if !r.cilium(version, kind, doc, pos) {
			r.other(version, kind, doc, pos)
		}
	}
}

// cilium reads an object of Cilium's own and tells whether it is one that counts.
func (r *reader) cilium(version, kind string, doc *yaml.Node, pos state.Position) bool {
	switch version + " " + kind {
	case "cilium.io/v2 CiliumEndpoint":
		if in, ok := decodePart[CiliumEndpointObject](r, kind, doc, pos); ok {
			out, notices := CiliumEndpoint(in)
			out.Pos = pos
			r.snapshot.CiliumEndpoints = append(r.snapshot.CiliumEndpoints, out)
			r.place(notices, doc, pos)
		}
	case "cilium.io/v2alpha1 CiliumEndpointSlice":
		if in, ok := decodePart[CiliumEndpointSliceObject](r, kind, doc, pos); ok {
			list, notices := CiliumEndpointSlice(in)
			for i := range list {
				list[i].Pos = pos
			}
			r.snapshot.CiliumEndpoints = append(r.snapshot.CiliumEndpoints, list...)
			r.place(notices, doc, pos)
		}
	case "cilium.io/v2 CiliumNode":
		if in, ok := decodePart[CiliumNodeObject](r, kind, doc, pos); ok {
			out, notices := CiliumNode(in)
			out.Pos = pos
			r.snapshot.CiliumNodes = append(r.snapshot.CiliumNodes, out)
			r.place(notices, doc, pos)
		}
	case "cilium.io/v2 CiliumLocalRedirectPolicy":
		if in, ok := decode[RedirectPolicyObject](r, kind, doc, pos); ok {
			out, notices := RedirectPolicy(in)
			out.Pos = pos
			if len(notices) == 0 {
				r.snapshot.RedirectPolicies = append(r.snapshot.RedirectPolicies, out)
			}
			r.place(notices, doc, pos)
		}
	case "cilium.io/v2 CiliumEnvoyConfig", "cilium.io/v2 CiliumClusterwideEnvoyConfig":
		if in, ok := decodePart[EnvoyConfigObject](r, kind, doc, pos); ok {
			out, notices := EnvoyConfig(in, kind)
			out.Pos = pos
			if len(notices) == 0 {
				r.snapshot.EnvoyConfigs = append(r.snapshot.EnvoyConfigs, out)
			}
			r.place(notices, doc, pos)
		}
	default:
		return false
	}
	return true
}

func (r *reader) node(kind string, doc *yaml.Node, pos state.Position) {
	in, ok := decode[corev1.Node](r, kind, doc, pos)
	if !ok {
		return
	}
	r.nodes = append(r.nodes, in.Name)
	if in.Name != r.snapshot.Node.Name {
		return
	}
	out, notices := Node(in)
	have := &r.snapshot.Node
	if len(have.Addresses) == 0 {
		have.Addresses = out.Addresses
	}
	have.Zone = cmp.Or(have.Zone, out.Zone)
	if have.Labels == nil {
		have.Labels = out.Labels
	}
	r.place(notices, doc, pos)
}

// versions are those that are read of the kinds that count, by kind and group.
var versions = map[string]string{
	"EndpointSlice discovery.k8s.io": "discovery.k8s.io/v1",
	"CiliumEndpoint cilium.io":       "cilium.io/v2",
	"CiliumEndpointSlice cilium.io":  "cilium.io/v2alpha1",
	"CiliumNode cilium.io":           "cilium.io/v2",

	"CiliumLocalRedirectPolicy cilium.io":    "cilium.io/v2",
	"CiliumEnvoyConfig cilium.io":            "cilium.io/v2",
	"CiliumClusterwideEnvoyConfig cilium.io": "cilium.io/v2",
}

// other refuses another version of a kind that is needed, and counts the rest.
func (r *reader) other(version, kind string, doc *yaml.Node, pos state.Position) {
	group, _, _ := strings.Cut(version, "/")
	if want := versions[kind+" "+group]; want != "" {
		name := text(field(field(doc, "metadata"), "name"))
		r.say(state.Error, "snapshot/unknown-version", kind+" "+name, pos, "want "+want, "version %s is not read; the object is left out", version)
		return
	}
	key := kind + "." + version
	if r.ignored[key] == nil {
		r.ignored[key] = &ignored{first: pos}
	}
	r.ignored[key].count++
}

var unknownField = regexp.MustCompile(`unknown field "(.*)"`)

// decode decodes an object strictly: a field that the API does not have is a
// Warning, a value of the wrong type leaves the object out.
func decode[T any](r *reader, kind string, doc *yaml.Node, pos state.Position) (*T, bool) {
	return decodeBy[T](r, kind, doc, pos, kjson.DisallowUnknownFields)
}

// decodePart decodes those fields of an object that T has.
func decodePart[T any](r *reader, kind string, doc *yaml.Node, pos state.Position) (*T, bool) {
	return decodeBy[T](r, kind, doc, pos, kjson.DisallowDuplicateFields)
}

func decodeBy[T any](r *reader, kind string, doc *yaml.Node, pos state.Position, option kjson.StrictOption) (*T, bool) {
	meta := field(doc, "metadata")
	object := strings.TrimSuffix(kind+" "+namespaced(text(field(meta, "namespace")), text(field(meta, "name"))), " ")
	into := new(T)
	data, err := toJSON(doc)
	var strict []error
	if err == nil {
		strict, err = kjson.UnmarshalStrict(data, into, option)
	}
	if err == nil && text(field(meta, "name")) == "" {
		err = errors.New("metadata.name is missing")
	}
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "json: ")
		r.say(state.Error, "snapshot/malformed-object", object, pos, "the object is left out", "%s", text)
		return nil, false
	}
	for _, e := range strict {
		n := state.Notice{Code: "snapshot/unknown-field", Severity: state.Warning, Object: object, Pos: pos, Message: e.Error()}
		if m := unknownField.FindStringSubmatch(e.Error()); m != nil {
			n.Field, n.Message, n.Hint = m[1], "the API has no such field; it is left out", "check its spelling and place"
			n.Pos.Line = lineOf(doc, m[1])
		}
		r.notices = append(r.notices, n)
	}
	return into, true
}

func namespaced(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// place gives the conversion's notices the lines of their fields.
func (r *reader) place(notices []state.Notice, doc *yaml.Node, pos state.Position) {
	for _, n := range notices {
		n.Pos = state.Position{File: pos.File, Line: lineOf(doc, n.Field)}
		r.notices = append(r.notices, n)
	}
}

// finish says what was left out on purpose and sorts the notices.
func (r *reader) finish() {
	if len(r.snapshot.RedirectPolicies) == 0 { // no other pods have a bearing then
		r.snapshot.Pods = slices.DeleteFunc(r.snapshot.Pods, func(p state.Pod) bool { return len(p.HostPorts) == 0 })
	}
	for key, i := range r.ignored {
		kind, version, _ := strings.Cut(key, ".")
		r.say(state.Info, "snapshot/ignored-kind", kind, i.first, "", "%s of kind %s (%s) have no bearing on the datapath and are not read", objects(i.count), kind, version)
	}
	if name := r.snapshot.Node.Name; len(r.nodes) > 0 && !slices.Contains(r.nodes, name) {
		slices.Sort(r.nodes)
		r.say(state.Warning, "snapshot/no-node", fmt.Sprintf("Node %q", name), state.Position{}, "", "the files have no such node, but %s", strings.Join(slices.Compact(r.nodes), ", "))
	}
	slices.SortStableFunc(r.notices, func(a, b state.Notice) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Object, b.Object), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
}

func objects(n int) string {
	if n == 1 {
		return "1 object"
	}
	return strconv.Itoa(n) + " objects"
}
