// SPDX-License-Identifier: Apache-2.0

package values

import "plumbline.dev/plumbline/compiler/diag"

// The codes of the diagnostics that this package gives. They are stable.
const (
	CodeUnknown         = "values/unknown-key"
	CodeType            = "values/wrong-type"
	CodeEnum            = "values/not-in-enum"
	CodeRemoved         = "values/removed-key"
	CodeRenamed         = "values/renamed-key"
	CodeDeprecated      = "values/deprecated-key"
	CodeIgnored         = "values/ignored-key"
	CodeNullOnly        = "values/null-type-upstream"
	CodeNullObject      = "values/null-object"
	CodeIncomplete      = "values/incomplete"
	CodeAllowed         = "values/allowed-key"
	CodeAllowUnused     = "values/allow-unused"
	CodeAllowBad        = "values/allow-invalid"
	CodeAllowUnreasoned = "values/allow-unreasoned"
	CodeSyntax          = "values/yaml-syntax"
	CodeDuplicate       = "values/duplicate-key"
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
		{CodeUnknown, diag.Error, "a key that the chart does not have: it renders and does nothing"},
		{CodeType, diag.Error, "a value of the wrong type"},
		{CodeEnum, diag.Error, "a word that the key does not take"},
		{CodeRemoved, diag.Error, "a key that the chart no longer has"},
		{CodeRenamed, diag.Error, "a key that the chart has under another name now"},
		{CodeDeprecated, diag.Warning, "a key that still works and is about to go"},
		{CodeIgnored, diag.Warning, "a key that the chart declares and no template reads"},
		{CodeNullOnly, diag.Warning, "a key whose type in the chart's own schema is null by mistake"},
		{CodeNullObject, diag.Error, "null in the place of an object that templates read from"},
		{CodeIncomplete, diag.Error, "a key without a concrete value"},
		{CodeAllowed, diag.Info, "an unknown key that allowUnknown lets pass"},
		{CodeAllowUnused, diag.Warning, "an entry of allowUnknown that matches no key"},
		{CodeAllowUnreasoned, diag.Warning, "an entry of allowUnknown without a reason"},
		{CodeAllowBad, diag.Error, "an entry of allowUnknown that is no pattern"},
		{CodeSyntax, diag.Error, "values that are not YAML, or not an object"},
		{CodeDuplicate, diag.Error, "a key that is written twice in one object"},
	}
}

var severities = func() map[string]diag.Severity {
	out := map[string]diag.Severity{}
	for _, c := range Codes() {
		out[c.ID] = c.Severity
	}
	return out
}()
