// SPDX-License-Identifier: Apache-2.0

// Package lower brings an Environment down to what is built from it: the Helm
// values, and the Settings that the datapath needs. It is pure, knows which
// agent option a Helm value becomes, and judges no Helm value that neither
// follows from.
package lower
