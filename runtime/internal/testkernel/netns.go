// SPDX-License-Identifier: Apache-2.0

package testkernel

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Netns puts the test's goroutine, and no other, into a network namespace of its
// own, in which there is nothing but a loopback that is down.
func Netns(t testing.TB) {
	t.Helper()
	Require(t)
	runtime.LockOSThread()
	old, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open the network namespace: %v", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		defer unix.Close(old)
		if err := unix.Setns(old, unix.CLONE_NEWNET); err != nil {
			t.Errorf("leave the network namespace: %v", err)
			return // the thread stays locked, and ends with the test
		}
		runtime.UnlockOSThread()
	})
}
