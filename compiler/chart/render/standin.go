// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"text/template"
	"time"
)

// standInMark opens whatever stands in for data that Helm would make up.
const standInMark = "PLUMB-STAND-IN-NOT-TO-BE-APPLIED"

// standInLabel marks an object that holds a stand-in; a label, because kubectl
// selects by labels: kubectl apply -l '!plumbline.dev/stand-in'.
const standInLabel = "plumbline.dev/stand-in"

// certificate has the fields that templates read of one.
type certificate struct{ Cert, Key string }

// standIns replace the template functions that make up something anew at each
// call. buildCustomCert is not among them: it takes over what the author gave,
// and refuses what is no certificate.
func standIns() template.FuncMap {
	funcs := template.FuncMap{
		"genPrivateKey":  func(kind string) string { return standIn("private key", kind) },
		"now":            func() time.Time { return time.Unix(0, 0).UTC() },
		"uuidv4":         func() string { return "00000000-0000-4000-8000-000000000000" },
		"randInt":        func(low, _ int) int { return low },
		"randBytes":      func(n int) string { return base64.StdEncoding.EncodeToString([]byte(filler(n))) },
		"shuffle":        func(s string) string { return s },
		"htpasswd":       func(name, _ string) string { return name + ":" + standInMark },
		"bcrypt":         func(string) string { return standInMark },
		"derivePassword": func(uint32, string, string, string, string) string { return standInMark },
		"encryptAES":     func(string, string) string { return standInMark },
	}
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		funcs[name] = filler
	}
	for _, name := range []string{"genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey"} {
		funcs[name] = func(commonName string, _ ...any) certificate {
			return certificate{Cert: standIn("certificate", commonName), Key: standIn("key", commonName)}
		}
	}
	return funcs
}

// standIn names what it stands in for.
func standIn(what, of string) string {
	return fmt.Sprintf("%s: %s of %s\n", standInMark, what, of)
}

// longestFiller bounds what a template can ask for at random.
const longestFiller = 1 << 16

// filler is a text of n bytes, which shows what it is where there is room.
func filler(n int) string {
	n = int(math.Min(float64(max(n, 0)), longestFiller))
	return strings.Repeat(standInMark, n/len(standInMark)+1)[:n]
}

// hasStandIn tells whether a text holds a stand-in, as it is or in base64. Six
// bytes tell, so a filler that is shorter goes unseen: that is no secret.
func hasStandIn(text string) bool {
	start := standInMark[:6] // the base64 of six bytes is the same whatever follows
	return strings.Contains(text, start) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(start)))
}
