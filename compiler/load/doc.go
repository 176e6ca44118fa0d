// SPDX-License-Identifier: Apache-2.0

// Package load reads an environment's CUE and gives the Environment, or every
// mistake in it with the author's own places. It judges no Helm value and
// compiles nothing.
//
// It is hermetic (I9): it reads the files of the environment's own module and
// the schema that is embedded in the program, never the network, a registry's
// cache or an environment variable.
package load
