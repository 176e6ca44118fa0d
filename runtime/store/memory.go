// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// outOfMemory says what to do where memory is what lacks. The kernel counts a map and
// its entries against the cgroup of the process that made it, for as long as it is
// there (kernel/bpf/syscall.c, bpf_map_save_memcg).
func outOfMemory(err error) error {
	if !errors.Is(err, unix.ENOMEM) {
		return err
	}
	return fmt.Errorf("%w: raise the memory limit of the cgroup whose process made the map, which is the agent's, or lower bpf.lbMapMax: %w", ErrNoMemory, err)
}
