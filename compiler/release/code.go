// SPDX-License-Identifier: Apache-2.0

package release

import "plumbline.dev/plumbline/compiler/diag"

// The codes of the diagnostics that this package gives. They are stable.
const (
	CodeSyntax       = "flux/syntax"             // no YAML, or none that kustomize can read
	CodeNoRelease    = "flux/no-release"         // no HelmRelease, or too many
	CodeEnvSyntax    = "flux/env-syntax"         // a line of a file of variables
	CodeTwice        = "flux/variable-twice"     // one file states a variable twice
	CodeUnused       = "flux/variable-unused"    // a variable that the HelmRelease does not use
	CodeUndefined    = "flux/variable-undefined" // no value and no default
	CodeExpression   = "flux/bad-expression"     // ${ that is none
	CodeOperator     = "flux/operator"           // an operator that does not do what a shell does
	CodeLeft         = "flux/left-behind"        // ${VAR} reaches Helm
	CodeTypeChanged  = "flux/type-changed"       // a string that arrives as something else
	CodeQuoted       = "flux/quoted"             // the same, with the text as it was; see Relevant
	CodeTextChanged  = "flux/text-changed"       // a text that arrives as another one
	CodeQuotes       = "flux/quotes"             // quotes of a variable that stand in the middle of a value
	CodeBroken       = "flux/broken-yaml"        // what is put in makes the document no YAML
	CodeValuesFrom   = "flux/values-from"        // values from an object that is not among the files
	CodeVersion      = "flux/chart-version"      // no version of the chart, or not one
	CodeVersionRange = "flux/version-range"      // a range of versions
	CodeVersionOther = "flux/version-other"      // vetted as another version than is stated
)

// Code is what a diagnostic of that code is about.
type Code struct {
	ID       string
	Severity diag.Severity
	Summary  string
}

// Codes gives every code that this package uses, in the order of its constants.
func Codes() []Code {
	return []Code{
		{CodeSyntax, diag.Error, "a file that is no YAML, or none that kustomize can read"},
		{CodeNoRelease, diag.Error, "a file without a HelmRelease of Cilium, or with several"},
		{CodeEnvSyntax, diag.Error, "a line of a file of variables that kustomize or Flux refuses"},
		{CodeTwice, diag.Error, "a variable that one file states twice"},
		{CodeUnused, diag.Info, "a variable that the HelmRelease does not use"},
		{CodeUndefined, diag.Error, "a variable without value and default"},
		{CodeExpression, diag.Error, "a substitution that Flux can't read"},
		{CodeOperator, diag.Warning, "an operator that does another thing than in a shell"},
		{CodeLeft, diag.Error, "a variable that nothing is put in for"},
		{CodeTypeChanged, diag.Warning, "a text that arrives as another one, and as a number, boolean or null"},
		{CodeQuoted, diag.Info, "a variable in quotes that arrives as a number, boolean, list or object"},
		{CodeTextChanged, diag.Warning, "a text that a substitution changes"},
		{CodeQuotes, diag.Warning, "quotes of a variable's value that stay in the text"},
		{CodeBroken, diag.Error, "a variable's value that makes the document no YAML"},
		{CodeValuesFrom, diag.Info, "values from a ConfigMap or Secret that is not among the files"},
		{CodeVersion, diag.Error, "a HelmRelease that does not say which chart it takes"},
		{CodeVersionRange, diag.Warning, "a HelmRelease that takes a range of chart versions"},
		{CodeVersionOther, diag.Info, "a chart version that is not the HelmRelease's own"},
	}
}

var severities = func() map[string]diag.Severity {
	out := map[string]diag.Severity{}
	for _, c := range Codes() {
		out[c.ID] = c.Severity
	}
	return out
}()

func finding(code, path, message, hint string, at ...diag.Position) diag.Diagnostic {
	return diag.Diagnostic{Code: code, Severity: severities[code], Path: path, Message: message, Hint: hint, Positions: at}
}

// Relevant leaves out of a sorted list what only explains another finding that
// is not there: CodeQuoted, where nothing else is said of the value.
func Relevant(list diag.List) diag.List {
	other := map[string]bool{}
	for _, d := range list {
		if d.Code != CodeQuoted {
			other[d.Path] = true
		}
	}
	var out diag.List
	for _, d := range list {
		if d.Code != CodeQuoted || other[d.Path] {
			out = append(out, d)
		}
	}
	return out
}
