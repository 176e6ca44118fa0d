// SPDX-License-Identifier: Apache-2.0

package diag

// Page is what there is to say of a code, whatever it was found in.
type Page struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"` // unless a finding or an environment says otherwise
	Title    string   `json:"title"`
	Why      string   `json:"why"`            // what it does in a cluster
	Mend     string   `json:"mend"`           // what to do
	Bad      string   `json:"bad,omitempty"`  // an example of it
	Good     string   `json:"good,omitempty"` // the same, mended
	URLs     []string `json:"urls,omitempty"` // where it is documented or was reported
}
