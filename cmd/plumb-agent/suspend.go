// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"

	"plumbline.dev/plumbline/schema/state"
)

// suspended gives what tells, once a round, whether nothing may be written: by the
// flag, or by the settings' file as it is then. A file that can't be read any more
// says nothing: what it said last stays in force.
func (f *runFlags) suspended(settings *state.Settings, log *slog.Logger) func() bool {
	if f.suspend {
		log.Warn("suspended by --suspend: nothing is written")
		return func() bool { return true }
	}
	last, fault := settings.Suspend, ""
	if last {
		log.Warn("suspended by the settings: nothing is written")
	}
	return func() bool {
		now, err := f.readSuspend()
		if err != nil {
			if text := err.Error(); text != fault {
				fault = text
				log.Error("suspend is as it was", "suspended", last, "error", text)
			}
			return last
		}
		fault = ""
		if now != last {
			log.Warn("suspend has changed", "suspended", now)
		}
		last = now
		return now
	}
}

// readSuspend reads the one setting that is in force at once.
func (f *runFlags) readSuspend() (bool, error) {
	data, err := os.ReadFile(f.datapath)
	if err != nil {
		return false, fmt.Errorf("settings: %w", err)
	}
	settings, err := parseSettings(data)
	if err != nil {
		return false, fmt.Errorf("settings %s: %w", f.datapath, err)
	}
	return settings.Suspend, nil
}
