// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	cueload "cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema"
)

// repository is this one.
func repository(t *testing.T) Folder {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return Folder{Dir: filepath.Join(root, "environments"), WorkDir: root}
}

// write lays files out in a new folder.
func write(t *testing.T, files map[string]string) Folder {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Folder{Dir: filepath.Join(dir, "environments"), WorkDir: dir}
}

func loadOne(t *testing.T, f Folder, arg string) (*Environment, diag.List) {
	t.Helper()
	source, err := f.Find(arg)
	if err != nil {
		t.Fatal(err)
	}
	return Load(source)
}

func TestThisRepositorysEnvironments(t *testing.T) {
	folder := repository(t)
	names, err := folder.Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dev", "prod"}, names); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for name, want := range map[string]struct {
		api    API
		cgroup Cgroup
	}{
		"dev":  {API{"dev-services-amer-control-plane", 6443}, Cgroup{"/sys/fs/cgroup", false}},
		"prod": {API{"api.prod.internal", 6443}, Cgroup{"/run/cilium/cgroupv2", true}},
	} {
		env, list := loadOne(t, folder, name)
		if len(list) > 0 {
			t.Fatalf("%s: %v", name, list)
		}
		if env.Name != name || env.Chart.Version != "1.17.2" || env.API != want.api || env.Cgroup != want.cgroup || !env.Complete {
			t.Errorf("%s: %+v", name, env)
		}
	}
}

// What `cue vet ./environments/...` says of them: base.cue alone is complete
// too, and the schema on disk types them.
func TestThisRepositorysEnvironmentsPassCUEVet(t *testing.T) {
	folder := repository(t)
	instances := cueload.Instances([]string{"./environments/...", "./schema"}, &cueload.Config{Dir: folder.WorkDir, Registry: registry{}, Env: []string{}})
	if len(instances) != 4 {
		t.Errorf("%d instances", len(instances))
	}
	for _, instance := range instances {
		if instance.Err != nil {
			t.Errorf("%s: %v", instance.Dir, instance.Err)
			continue
		}
		if err := cuecontext.New().BuildInstance(instance).Validate(cue.Concrete(true)); err != nil {
			t.Errorf("%s: %v", instance.Dir, err)
		}
	}
}

// What is left of an environment with mistakes is enough to judge its values.
func TestIncompleteEnvironment(t *testing.T) {
	folder := write(t, map[string]string{"environments/x/x.cue": `package x
environment: {
	name: 5
	chart: version: "1.17.2"
	allowUnknown: ["a", 5, "b.c"]
	values: {MTU: 1450, hubble: enabled: int}
}`})
	env, list := loadOne(t, folder, "x")
	if env == nil || env.Complete || !cmp.Equal(codes(list), []string{codeWrongType, codeWrongType, codeIncomplete}) {
		t.Fatalf("%v, %v", env != nil, list)
	}
	if env.Chart.Version != "1.17.2" || !cmp.Equal(env.AllowUnknown, []Allowed{{Path: "a"}, {Path: "b.c"}}) {
		t.Errorf("%+v", env)
	}
	if mtu, err := env.Values.LookupPath(cue.ParsePath("MTU")).Int64(); err != nil || mtu != 1450 {
		t.Errorf("MTU is %d, %v", mtu, err)
	}
}

func TestPositions(t *testing.T) {
	folder := write(t, map[string]string{
		"environments/base.cue": `package x
environment: {
	chart: version: "1.17.2"
	values: operator: replicas: int
}`,
		"environments/x/x.cue": `package x
environment: {
	name: "x"
	values: operator: replicas: 2
}`})
	env, list := loadOne(t, folder, "x")
	if len(list) > 0 {
		t.Fatal(list)
	}
	for path, want := range map[string][]string{
		"name":                     {"environments/x/x.cue:3:8"},
		"chart.version":            {"environments/base.cue:3:18"},
		"values.operator.replicas": {"environments/x/x.cue:4:30", "environments/base.cue:4:30"},
		"datapath.mode":            nil, // the schema's default
		"values.operator.tpyo":     {"environments/x/x.cue:4:20", "environments/base.cue:4:20"},
	} {
		var got []string
		for _, at := range env.Positions(strings.Split(path, ".")...) {
			got = append(got, at.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if at := new(Environment).Positions("name"); at != nil {
		t.Errorf("an environment that was not loaded has %v", at)
	}
}

func TestFind(t *testing.T) {
	const file = "package x\n"
	folder := write(t, map[string]string{
		"environments/dev/dev.cue": file, "environments/eu/eu.cue": file, "environments/eu/prod/prod.cue": file,
		"environments/.hidden/x.cue": file, "environments/_off/x.cue": file, "environments/cue.mod/pkg/x.cue": file,
		"environments/docs/README": "", "dev/other.cue": file, "here.cue": file, "environments/base.cue": file, "lone/x.cue": file, "[odd]/x.cue": file,
	})
	names, err := folder.Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dev", "eu/prod"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for arg, want := range map[string]string{
		"dev": "environments/dev", "./dev": "dev", "eu/prod": "environments/eu/prod", "lone": "lone",
		"environments/dev/": "environments/dev", ".": ".", "[odd]": "[odd]", filepath.Join(folder.WorkDir, "lone"): "lone",
	} {
		source, err := folder.Find(arg)
		if err != nil || source.Dir != filepath.Join(folder.WorkDir, want) {
			t.Errorf("%s: %s, %v", arg, source.Dir, err)
		}
	}
	for arg, want := range map[string]string{
		"dve":  `unknown environment "dve": environments holds dev, eu/prod; did you mean "dev"?`,
		"docs": `unknown environment "docs": environments holds dev, eu/prod`,
		"../x": `unknown environment "../x": environments holds dev, eu/prod`,
	} {
		if _, err := folder.Find(arg); !errors.Is(err, ErrUnknown) || err.Error() != want {
			t.Errorf("%s: %v", arg, err)
		}
	}
	folder.Dir = filepath.Join(folder.WorkDir, "nowhere")
	if _, err := folder.Names(); !errors.Is(err, ErrUnknown) {
		t.Errorf("names of a folder that is not there: %v", err)
	}
}

// I9: nothing outside of the module is read, by a link neither.
func TestLinksDontLeaveTheModule(t *testing.T) {
	folder := write(t, map[string]string{
		"outside/secret.cue":         "package x\nenvironment: name: \"secret\"\n",
		"repo/cue.mod/module.cue":    "module: \"example.com/x@v0\"\nlanguage: version: \"v0.17.0\"\n",
		"repo/environments/x/x.cue":  "package x\nenvironment: chart: version: \"1.17.2\"\n",
		"repo/environments/x/README": "",
	})
	folder.WorkDir = filepath.Join(folder.WorkDir, "repo")
	folder.Dir = filepath.Join(folder.WorkDir, "environments")
	if err := os.Symlink("../../../outside/secret.cue", filepath.Join(folder.Dir, "x", "link.cue")); err != nil {
		t.Fatal(err)
	}
	env, list := loadOne(t, folder, "x")
	if env != nil && env.Name == "secret" || list.Count(diag.Error) == 0 {
		t.Errorf("%+v, %v", env, list)
	}
}

// The embedded schema is what types an environment, whichever version of it a
// module file requires, and Plumbline's own module's name is no exception.
func TestSchemaIsTheEmbeddedOne(t *testing.T) {
	for _, module := range []string{
		"module: \"example.com/x@v0\"\nlanguage: version: \"v0.17.0\"\ndeps: \"plumbline.dev/plumbline@v0\": v: \"v0.3.1\"\n",
		"module: \"plumbline.dev/plumbline@v0\"\nlanguage: version: \"v0.17.0\"\n",
	} {
		folder := write(t, map[string]string{
			"cue.mod/module.cue":   module,
			"schema/schema.cue":    "package schema\n#Environment: {...}\n",
			"environments/x/x.cue": "package x\nimport \"plumbline.dev/plumbline/schema\"\nenvironment: schema.#Environment & {nmae: \"x\"}\n",
		})
		_, list := loadOne(t, folder, "x")
		if !cmp.Equal(codes(list), []string{codeMissingField, codeUnknownField, codeMissingField}, cmp.Transformer("set", set)) {
			t.Errorf("%s\n%v", module, list)
		}
	}
}

func codes(list diag.List) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Code)
	}
	return out
}

func set(list []string) map[string]int {
	counts := map[string]int{}
	for _, s := range list {
		counts[s]++
	}
	return counts
}

func TestMemoryIsAFileSystem(t *testing.T) {
	m := memory{"a/b/c.cue": []byte("x"), "a/d.cue": []byte("yy"), "e.cue": nil}
	if err := fstest.TestFS(m, "a/b/c.cue", "a/d.cue", "e.cue"); err != nil {
		t.Error(err)
	}
	if _, err := m.Open("a/b/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of what is not there: %v", err)
	}
}

// The most specific file comes first: where to mend it.
func TestPlacesAreInOrder(t *testing.T) {
	p := &places{folder: "environments/eu/prod"}
	got := p.sort([]diag.Position{
		{File: "lib/x.cue", Line: 1}, {File: "environments/base.cue", Line: 9}, {File: "environments/eu/prod/b.cue", Line: 2},
		{File: "environments/eu/eu.cue", Line: 1}, {File: "environments/eu/prod/a.cue", Line: 7, Column: 2},
		{File: "environments/eu/prod/a.cue", Line: 7, Column: 1}, {File: "environments/base.cue", Line: 9},
	})
	var names []string
	for _, at := range got {
		names = append(names, at.String())
	}
	want := []string{"environments/eu/prod/a.cue:7:1", "environments/eu/prod/a.cue:7:2", "environments/eu/prod/b.cue:2",
		"environments/eu/eu.cue:1", "environments/base.cue:9", "lib/x.cue:1"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every field of the schema says what it is, and what it says of parsing is known.
func TestSchemaSpeaks(t *testing.T) {
	entries, err := schema.Files.ReadDir(".")
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := schema.Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(e.Name(), data, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Walk(file, func(n ast.Node) bool {
			if _, conditional := n.(*ast.Comprehension); conditional {
				return false // its fields are spoken of where they are declared
			}
			if f, ok := n.(*ast.Field); ok {
				checkField(t, e.Name(), f)
			}
			return true
		}, nil)
	}
}

func checkField(t *testing.T, file string, f *ast.Field) {
	t.Helper()
	name, _, err := ast.LabelName(f.Label)
	if err != nil {
		return // a pattern
	}
	documented := false
	for _, group := range ast.Comments(f) {
		text := strings.TrimSpace(group.Text())
		documented = documented || group.Doc && strings.HasPrefix(text, name+" ")
	}
	if !documented {
		t.Errorf("%s: %s has no comment that begins with its name", file, name)
	}
	for _, a := range f.Attrs {
		for _, key := range []string{"parse=", "eachParse="} {
			if _, rest, ok := strings.Cut(a.Text, key+`"`); ok {
				if word, _, _ := strings.Cut(rest, `"`); parsers[word] == nil {
					t.Errorf("%s: %s is parsed as %q, which nobody knows", file, name, word)
				}
			}
		}
	}
}

// The schema's module is the one that its module file states.
func TestSchemaModule(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "cue.mod", "module.cue"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(schemaModule()[moduleFile]), string(data)); diff != "" {
		t.Errorf("cue.mod/module.cue and the embedded one (-embedded +file):\n%s", diff)
	}
}

func TestLoadTextNeedsNoDisk(t *testing.T) {
	env, list := LoadText("dev/dev.cue", []byte("package environments\n\nimport \"plumbline.dev/plumbline/schema\"\n\nenvironment: schema.#Environment & {\n\tname: \"dev\"\n\tchart: version: \"1.17.2\"\n}\n"))
	if len(list) > 0 || !env.Complete || env.Name != "dev" || env.Flux.Path != "./clusters/dev" {
		t.Errorf("%v, %v", env, list)
	}
	for _, text := range []string{"", "package environments\nenvironment: {", "package environments\n\nenvironment: nope: 1\n", "package environments\n"} {
		_, list := LoadText("dev/dev.cue", []byte(text))
		if list.Count(diag.Error) == 0 {
			t.Errorf("%q has no error", text)
		}
		for _, d := range list {
			for _, at := range d.Positions {
				if at.File != "dev/dev.cue" && at.File != "." {
					t.Errorf("%q: %v stands in %q", text, d.Code, at.File)
				}
			}
		}
	}
}
