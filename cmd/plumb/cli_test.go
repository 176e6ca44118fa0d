// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plumbline.dev/plumbline/cmd/plumb/internal/demo"
	"plumbline.dev/plumbline/compiler/catalog"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/rollout"
	"plumbline.dev/plumbline/compiler/upgrade"
	"plumbline.dev/plumbline/runtime/fleet"
	"plumbline.dev/plumbline/runtime/lookup"
	"plumbline.dev/plumbline/schema/state"
)

const cliDocument = "../../docs/CLI.md"

// printed are the types of what commands print as JSON, in the order in which
// docs/CLI.md shows them.
var printed = map[string][]any{
	"init":    {initReport{}},
	"vet":     {diag.Report{}},
	"explain": {pagesReport{}},
	"catalog": {catalog.Report{}},
	"build":   {state.Settings{}},
	"version": {versionReport{}},
	"state":   {state.State{}, lookup.Report{}},
	"dump":    {state.State{}, lookup.Report{}},
	"diff":    {compare.Report{}, liveReport{}, lookup.Report{}, rollout.Report{}},
	"upgrade": {upgrade.Report{}},
	"publish": {publishReport{}},
	"demo":    {demo.Document{}},

	"status":    {fleet.Fleet{}},
	"reconcile": {fleet.Requests{}},
}

// Between these lines stands what a command's help says; PLUMB_UPDATE=1 writes it.
const (
	helpBegins = "<!-- from the command's own help -->\n"
	helpEnds   = "<!-- end -->\n"
)

// docs/CLI.md has a section for each command there is and no other: with the
// command's own examples and flags, its exit codes, and the JSON that it prints.
func TestCLIDocument(t *testing.T) {
	data, err := os.ReadFile(cliDocument)
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(&env{environments: "environments"})
	head, sections := sectionsOf(string(data))
	updated := withHelp(head, helpOf(root))
	var have, want []string
	for _, s := range sections {
		have = append(have, s.name)
		command, _, err := root.Find([]string{s.name})
		if err != nil || command == root {
			updated += s.text
			continue
		}
		updated += withHelp(s.text, helpOf(command))
		holds(t, command, s)
	}
	for _, command := range root.Commands() {
		if !command.Hidden && command.Name() != "help" {
			want = append(want, command.Name())
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(have))); diff != "" {
		t.Errorf("sections `## plumb COMMAND` (-commands +document)\n%s", diff)
	}
	if os.Getenv("PLUMB_UPDATE") != "" {
		if err := os.WriteFile(cliDocument, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(data), updated); diff != "" {
		t.Errorf("flags and examples: PLUMB_UPDATE=1 writes them anew (-document +help)\n%s", diff)
	}
}

// section is what the document says of a command.
type section struct{ name, text string }

func sectionsOf(document string) (head string, list []section) {
	at := regexp.MustCompile("(?m)^## `plumb ([a-z]+)`\n").FindAllStringSubmatchIndex(document, -1)
	for i, m := range at {
		end := len(document)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		list = append(list, section{document[m[2]:m[3]], document[m[0]:end]})
	}
	if len(at) == 0 {
		return document, nil
	}
	return document[:at[0][0]], list
}

// holds holds a section to what the command does.
func holds(t *testing.T, command *cobra.Command, s section) {
	t.Helper()
	if !strings.Contains(s.text, helpBegins) {
		t.Errorf("plumb %s: no place for its flags: %q", s.name, helpBegins)
	}
	if !strings.Contains(s.text, "\nExit codes: ") {
		t.Errorf("plumb %s: its exit codes are not told", s.name)
	}
	if saysJSON := offersJSON(command); saysJSON != (len(printed[s.name]) > 0) && s.name != "build" {
		t.Errorf("plumb %s: it prints JSON: %v; this test knows the types %v", s.name, saysJSON, printed[s.name])
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(s.text, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != len(printed[s.name]) {
		t.Errorf("plumb %s: %d blocks of JSON for %d types", s.name, len(blocks), len(printed[s.name]))
		return
	}
	for i, block := range blocks {
		if err := isWhole(block, printed[s.name][i]); err != nil {
			t.Errorf("plumb %s, block %d: %v\n%s", s.name, i+1, err, block)
		}
	}
}

func offersJSON(command *cobra.Command) bool {
	flag := command.Flags().Lookup("output")
	return flag != nil && (strings.Contains(flag.Value.Type(), "json") || strings.Contains(flag.Usage, "json"))
}

// isWhole tells whether a block is what a type's values look like: it has no
// other field, and every field that is always there.
func isWhole(block string, of any) error {
	into := reflect.New(reflect.TypeOf(of))
	dec := json.NewDecoder(strings.NewReader(block))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into.Interface()); err != nil {
		return err
	}
	again, err := json.Marshal(into.Interface())
	if err != nil {
		return err
	}
	var documented, known any
	if err := json.Unmarshal([]byte(block), &documented); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &known); err != nil {
		return err
	}
	if diff := cmp.Diff(known, documented); diff != "" {
		return fmt.Errorf("not what %T looks like (-type +document)\n%s", of, diff)
	}
	return nil
}

// withHelp puts a command's help in its place in a section.
func withHelp(text, help string) string {
	before, rest, found := strings.Cut(text, helpBegins)
	_, after, ended := strings.Cut(rest, helpEnds)
	if !found || !ended {
		return text
	}
	return before + helpBegins + help + helpEnds + after
}

// helpOf is a command line's form, its examples and its flags.
func helpOf(command *cobra.Command) string {
	var b bytes.Buffer
	if command.HasParent() {
		fmt.Fprintf(&b, "\n    %s\n\n```sh\n", strings.TrimSuffix(command.UseLine(), " [flags]"))
		for line := range strings.Lines(command.Example + "\n") {
			b.WriteString(strings.TrimPrefix(line, "  "))
		}
		b.WriteString("```\n")
	}
	flags := command.LocalNonPersistentFlags()
	if !command.HasParent() {
		flags = command.PersistentFlags()
	}
	var rows []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			rows = append(rows, flagRow(f))
		}
	})
	if len(rows) > 0 {
		fmt.Fprintf(&b, "\n| flag | what | default |\n|---|---|---|\n%s", strings.Join(rows, ""))
	}
	b.WriteString("\n")
	return b.String()
}

func flagRow(f *pflag.Flag) string {
	word, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	value := ""
	if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" {
		value = "`" + f.DefValue + "`"
	}
	escape := strings.NewReplacer("|", `\|`)
	return fmt.Sprintf("| `%s` | %s | %s |\n", escape.Replace(strings.TrimSpace(name+" "+word)), escape.Replace(usage), escape.Replace(value))
}

// The check of a block can fail.
func TestJSONOfDocumentIsHeldToItsType(t *testing.T) {
	for block, ok := range map[string]bool{
		`{"written": [], "kept": [], "next": [], "ci": ""}`:         true,
		`{"written": [], "kept": [], "next": []}`:                   false, // a field is missing
		`{"written": [], "kept": [], "next": [], "ci": "", "x": 1}`: false, // one too many
		`{"written": {}, "kept": [], "next": [], "ci": ""}`:         false, // another type
	} {
		if err := isWhole(block, initReport{}); (err == nil) != ok {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// What commands really print is of those types too, and has no null in it.
func TestPrintedJSONIsOfItsType(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cluster := []string{"-f", "fixtures/clusters/platform", "--node", "dev-worker"}
	for _, c := range []struct {
		args []string
		of   any
	}{
		{[]string{"init", filepath.Join(t.TempDir(), "x"), "-o", "json"}, printed["init"][0]},
		{[]string{"vet", "-o", "json"}, printed["vet"][0]},
		{[]string{"explain", "-o", "json"}, printed["explain"][0]},
		{[]string{"catalog", "dev", "-o", "json"}, printed["catalog"][0]},
		{[]string{"catalog", "--all", "-o", "json"}, printed["catalog"][0]},
		{[]string{"build", "dev", "--only", "datapath"}, printed["build"][0]},
		{[]string{"version", "-o", "json"}, printed["version"][0]},
		{append([]string{"state", "dev", "-o", "json"}, cluster...), printed["state"][0]},
		{append([]string{"state", "dev", "-o", "json", "--explain", "10.96.0.10:53/UDP"}, cluster...), printed["state"][1]},
		{[]string{"diff", "dev", "prod", "-o", "json"}, printed["diff"][0]},
		{[]string{"upgrade", "dev", "--to", "1.20.2", "-o", "json"}, printed["upgrade"][0]},
		{[]string{"upgrade", "dev", "--to", "1.17.2", "-o", "json"}, printed["upgrade"][0]},
	} {
		t.Run(strings.Join(c.args[:2], " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			outside := func() (*env, error) {
				return &env{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, dir: root}, nil
			}
			t.Chdir(root)
			if code := run(outside, c.args); code == exitFailed {
				t.Fatalf("%s", stderr.String())
			}
			if err := isWhole(stdout.String(), c.of); err != nil {
				t.Error(err)
			}
			var document any
			if err := json.Unmarshal(stdout.Bytes(), &document); err != nil {
				t.Fatal(err)
			}
			for _, path := range nulls(document, "") {
				t.Errorf("%s is null: a list is [], and what is not there is left out", path)
			}
		})
	}
}

// nulls lists the paths of what is null in a document.
func nulls(v any, path string) []string {
	var list []string
	switch v := v.(type) {
	case nil:
		list = append(list, path)
	case []any:
		for i, each := range v {
			list = append(list, nulls(each, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case map[string]any:
		for name, each := range v {
			list = append(list, nulls(each, path+"."+name)...)
		}
	}
	return list
}
