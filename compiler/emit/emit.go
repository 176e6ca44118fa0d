// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// File is a file to write. Path is slashed and relative.
type File struct {
	Path string
	Data []byte
}

// Kustomization is the name of the files that are kustomize's own: no objects of
// a cluster.
const Kustomization = "kustomization.yaml"

// labelEnvironment is the label with the environment's name.
const labelEnvironment = "plumbline.dev/environment"

// Options are what the manifests need beside the environment and its values.
type Options struct {
	// SkipChartSchema makes Helm leave the chart's own schema aside: it refuses
	// values that are right.
	SkipChartSchema bool
	// Settings are the spec of the Datapath. They are needed where the environment
	// has an agent.
	Settings *state.Settings
}

// Manifests gives the files of an environment, by path. Equal input gives equal
// bytes (I9).
func Manifests(env *load.Environment, values map[string]any, o Options) ([]File, error) {
	list, err := stages(env, values, o)
	if err != nil {
		return nil, err
	}
	root := folder{name: "."}
	var files []File
	for _, s := range list {
		root.add(s.name, s.kustomization(env))
		if len(s.objects) == 0 {
			continue // the folder is the author's
		}
		built, err := s.build(env)
		if err != nil {
			return nil, err
		}
		files = append(files, built...)
	}
	root.variables = Variables(env)
	built, err := root.build(env)
	if err != nil {
		return nil, err
	}
	files = append(files, built...)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

// Documents joins the objects among files to one YAML stream.
func Documents(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		if path.Base(f.Path) == Kustomization {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("---\n")
		}
		b.Write(f.Data)
	}
	return b.Bytes()
}

// YAML writes a tree with its keys sorted. What YAML 1.1 takes for a boolean is
// quoted: Helm reads it so.
func YAML(v any) ([]byte, error) {
	data, err := yaml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return data, nil
}

// folder is a folder of objects, one or more to a file.
type folder struct {
	name      string
	files     []string // file of each of the objects, without .yaml
	objects   []object
	variables []Variable // of the ConfigMap "environment", if there are any
}

func (f *folder) add(name string, objects ...object) {
	for _, o := range objects {
		f.files, f.objects = append(f.files, name), append(f.objects, o)
	}
}

// build runs the folder through kustomize: labels, and the ConfigMap.
func (f *folder) build(env *load.Environment) ([]File, error) {
	disk := filesys.MakeFsInMemory()
	names := map[string]string{fmt.Sprintf("ConfigMap/%s/environment", env.Flux.Namespace): "environment"} // file of an object
	input := types.Kustomization{
		Labels: []types.Label{{Pairs: map[string]string{"app.kubernetes.io/managed-by": "plumb", labelEnvironment: env.Name}}},
	}
	for i, o := range f.objects {
		data, err := YAML(o)
		if err != nil {
			return nil, err
		}
		input.Resources = append(input.Resources, fmt.Sprintf("%d.yaml", i))
		if err := disk.WriteFile("/"+input.Resources[i], data); err != nil {
			return nil, fmt.Errorf("kustomize %s: %w", f.name, err)
		}
		names[identity(o)] = f.files[i]
	}
	if len(f.variables) > 0 {
		input.ConfigMapGenerator = []types.ConfigMapArgs{environmentMap(env, f.variables)}
	}
	data, err := YAML(input)
	if err != nil {
		return nil, err
	}
	if err := disk.WriteFile("/"+Kustomization, data); err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", f.name, err)
	}
	return f.run(disk, names)
}

// identity tells the objects of a folder apart.
func identity(o object) string {
	meta, _ := o["metadata"].(object)
	namespace, _ := meta["namespace"].(string)
	return fmt.Sprintf("%v/%s/%v", o["kind"], namespace, meta["name"])
}

// run gives the files of the objects that kustomize makes, and the list of them.
func (f *folder) run(disk filesys.FileSystem, names map[string]string) ([]File, error) {
	options := krusty.MakeDefaultOptions()
	options.PluginConfig = types.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(disk, "/")
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", f.name, err)
	}
	content := map[string][][]byte{}
	for _, r := range built.Resources() {
		if err := shared(r); err != nil {
			return nil, fmt.Errorf("kustomize %s: %s: %w", f.name, r.GetName(), err)
		}
		data, err := r.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("kustomize %s: %s %s: %w", f.name, r.GetKind(), r.GetName(), err)
		}
		name := names[fmt.Sprintf("%s/%s/%s", r.GetKind(), r.GetNamespace(), r.GetName())] + ".yaml"
		content[name] = append(content[name], data)
	}
	var files []File
	resources := slices.Sorted(maps.Keys(content))
	for _, name := range resources {
		files = append(files, File{path.Join(f.name, name), bytes.Join(content[name], []byte("---\n"))})
	}
	index := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + strings.Join(resources, "\n- ") + "\n"
	return append(files, File{path.Join(f.name, Kustomization), []byte(index)}), nil
}

// shared takes the environment's name off a definition: all environments of a
// cluster have it in common, and none is to write it anew after each other.
func shared(r *resource.Resource) error {
	if r.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	labels := r.GetLabels()
	delete(labels, labelEnvironment)
	return r.SetLabels(labels)
}

// environmentMap is the ConfigMap for postBuild.substituteFrom. Flux looks again
// at whatever substitutes from it as soon as it changes.
func environmentMap(env *load.Environment, variables []Variable) types.ConfigMapArgs {
	args := types.ConfigMapArgs{GeneratorArgs: types.GeneratorArgs{
		Namespace: env.Flux.Namespace, Name: "environment",
		Options: &types.GeneratorOptions{DisableNameSuffixHash: true, Labels: map[string]string{"reconcile.fluxcd.io/watch": "Enabled"}},
	}}
	for _, v := range variables {
		args.LiteralSources = append(args.LiteralSources, v.Name+"="+v.Value)
	}
	return args
}
