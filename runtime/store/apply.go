// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
)

// Apply carries the steps out. Writes of entries that stand together become one
// run of a program within the kernel, whichever maps they are of; without it,
// those of one map and one kind become one system call. Many steps of one rank, as
// a first start has them, are written by two programs side by side. All of the
// steps that it says took effect did; in such a run others of that rank may have.
func (k *Kernel) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	if k.repairs {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.repair(ctx, steps)
	}
	if k.owned == nil {
		return 0, fmt.Errorf("write %s: %w", k.pins.maps, ErrReadOnly)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	applied := 0
	for applied < len(steps) {
		if err := ctx.Err(); err != nil {
			return applied, err
		}
		if n := k.writeInKernel(ctx, steps[applied:]); n > 0 {
			applied += n
			continue
		}
		run := sameKind(steps[applied:])
		n, err := k.run(run)
		applied += n
		if err != nil {
			return applied, fmt.Errorf("%s: %w", steps[applied], outOfMemory(err))
		}
	}
	return applied, nil
}

// sameKind gives the steps from the front that go to one map by one operation.
func sameKind(steps []plan.Step) []plan.Step {
	n := 1
	first := steps[0]
	if first.Op == plan.Attach || first.Op == plan.Detach {
		return steps[:1]
	}
	for n < len(steps) && steps[n].Op == first.Op && steps[n].Map == first.Map {
		n++
	}
	return steps[:n]
}

func (k *Kernel) run(steps []plan.Step) (int, error) {
	s := steps[0]
	var err error
	switch s.Op {
	case plan.Attach:
		err = errors.Join(k.attach(s), k.release(s.Attachment.Program)) // the old one last
	case plan.Detach:
		err = errors.Join(k.release(s.Attachment.Program), bpf.Detach(s.Attachment.Program, k.pins.links))
	default:
		return k.write(steps)
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (k *Kernel) attach(s plan.Step) error {
	p, ok := bpf.ProgramNamed(s.Attachment.Program)
	if !ok {
		return fmt.Errorf("no program of that name: %w", ErrIncompatible)
	}
	if err := k.load(); err != nil {
		return err
	}
	return k.objects.Attach(p, s.Attachment.Target, k.pins.links)
}

// privateSuffix ends the names of maps that programs need and nobody pins.
const privateSuffix = "_off"

// kernelName is how many bytes of a map's name the kernel keeps.
const kernelName = unix.BPF_OBJ_NAME_LEN - 1

// load loads the programs over our maps. Maps of a family that is switched off
// are empty ones of the programs' own.
func (k *Kernel) load() error {
	if k.objects != nil {
		return nil
	}
	specs, err := bpf.MapSpecs()
	if err != nil {
		return err
	}
	all := maps.Clone(k.owned)
	for name, spec := range specs {
		if all[name] != nil {
			continue
		}
		spec.MaxEntries = 1
		spec.Name = name[:kernelName-len(privateSuffix)] + privateSuffix
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return fmt.Errorf("make an empty map for %s: %w", name, err)
		}
		defer m.Close()
		all[name] = m
	}
	k.objects, err = bpf.Load(k.config, all)
	return err
}

// writer writes steps of one map and one operation in one call, and gives how
// many took effect.
type writer func(*ebpf.Map, []plan.Step) (int, error)

var writers = map[layout.MapID]writer{
	layout.Services4:     writeBatch[[12]byte, [12]byte],
	layout.Services6:     writeBatch[[24]byte, [12]byte],
	layout.Backends4:     writeBatch[[4]byte, [12]byte],
	layout.Backends6:     writeBatch[[4]byte, [24]byte],
	layout.ReverseNAT4:   writeBatch[[2]byte, [6]byte],
	layout.ReverseNAT6:   writeBatch[[2]byte, [18]byte],
	layout.AffinityMatch: writeBatch[[8]byte, [1]byte],
	layout.Maglev4:       writeTables,
	layout.Maglev6:       writeTables,
}

// few is up to how many steps are written one by one.
const few = 4

func (k *Kernel) write(steps []plan.Step) (int, error) {
	m := k.owned[steps[0].Map.String()]
	if m == nil {
		return 0, fmt.Errorf("map %s is none of the agent's", steps[0].Map)
	}
	if n := plan.Together(steps); n > 2*operations && runtime.GOMAXPROCS(0) > 1 {
		return writeHalves(m, steps[:n])
	}
	return writeRun(m, steps)
}

// writeHalves writes steps whose order is of no matter by two calls at the same time.
// What it gives is of the first that failed.
func writeHalves(m *ebpf.Map, steps []plan.Step) (int, error) {
	half := len(steps) / 2
	var n int
	var err error
	var second sync.WaitGroup
	second.Go(func() { n, err = writeRun(m, steps[half:]) })
	first, firstErr := writeRun(m, steps[:half])
	second.Wait()
	if firstErr != nil {
		return first, firstErr
	}
	return half + n, err
}

func writeRun(m *ebpf.Map, steps []plan.Step) (int, error) {
	if batch := writers[steps[0].Map]; batch != nil && len(steps) > few {
		n, err := batch(m, steps)
		if err == nil {
			return n, nil
		}
		// Whatever the batch stopped at is said by the single call below, or is
		// no error there: deleting what is not there.
		rest, err := writeEach(m, steps[n:])
		return n + rest, err
	}
	return writeEach(m, steps)
}

func writeEach(m *ebpf.Map, steps []plan.Step) (int, error) {
	for i, s := range steps {
		if err := writeOne(m, s); err != nil {
			return i, err
		}
	}
	return len(steps), nil
}

func writeOne(m *ebpf.Map, s plan.Step) error {
	switch {
	case s.Op == plan.Put && m.Type() == ebpf.HashOfMaps:
		return swapTable(m, s.Key, s.New)
	case s.Op == plan.Put:
		return m.Put(s.Key, s.New)
	}
	err := m.Delete(s.Key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

func writeBatch[K, V any](m *ebpf.Map, steps []plan.Step) (int, error) {
	keys, values := make([]K, len(steps)), make([]V, len(steps))
	for i, s := range steps {
		if copy(bytesOf(&keys[i]), s.Key) != len(s.Key) || copy(bytesOf(&values[i]), s.New) != len(s.New) {
			return 0, fmt.Errorf("an entry of %d+%d bytes is too large", len(s.Key), len(s.New))
		}
	}
	if steps[0].Op == plan.Delete {
		return m.BatchDelete(keys, nil)
	}
	return m.BatchUpdate(keys, values, nil)
}

// bytesOf gives the memory of an array of bytes.
func bytesOf[T any](array *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(array)), unsafe.Sizeof(*array))
}

// allBytes gives the memory of several.
func allBytes[T any](arrays []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(arrays))), len(arrays)*int(unsafe.Sizeof(arrays[0])))
}
