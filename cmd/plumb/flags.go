// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }

// Type names the words in the help.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

// Set accepts exactly the words.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.value = word
	return nil
}

// outputFlag gives a command -o with its forms, the first of which is the default.
func outputFlag(command *cobra.Command, forms ...string) *choice {
	return choiceFlag(command, "output", "o", "form of the report", forms[0], forms...)
}

// choiceFlag gives a command a flag that takes one of the words, or none.
func choiceFlag(command *cobra.Command, name, short, usage, value string, words ...string) *choice {
	c := &choice{value: value, words: words}
	command.Flags().VarP(c, name, short, usage)
	complete := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	if err := command.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // the flag was made one line above
	}
	return c
}
