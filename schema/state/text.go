// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The canonical text of a State is one line per entry: first its layout, then
// frontends, backends, source ranges, affinity matches, Maglev tables,
// attachments and maps, each kind in the order of Sort. A line is the kind, the
// entry's identity, and key=value pairs in a fixed order; "-" is an empty list
// or an empty text, and a value that would be ambiguous is quoted as Go quotes
// it. Parse reads it back, in any order, with blank lines and "#" comments.

// String gives the canonical text: equal States have equal texts.
func (s *State) String() string {
	w := &textWriter{buf: make([]byte, 0, 160*len(s.Frontends)+48*len(s.Backends)+4096)}
	w.state(s)
	return string(w.buf)
}

// WriteText writes what String gives, without holding all of it.
func (s *State) WriteText(to io.Writer) error {
	w := &textWriter{buf: make([]byte, 0, 2*textChunk), to: to}
	w.state(s)
	w.flush(0)
	return w.err
}

func (w *textWriter) state(s *State) {
	if !s.sorted() {
		s = s.clone()
		s.Sort()
	}
	w.buf = append(append(w.buf, "layout "...), orDash(s.Layout.String())...)
	w.buf = append(w.buf, '\n')
	for i := range s.Frontends {
		w.frontend(&s.Frontends[i])
		w.flush(textChunk)
	}
	for i := range s.Backends {
		w.backend(&s.Backends[i])
		w.flush(textChunk)
	}
	for _, r := range s.SourceRanges {
		w.entry("range", r.Frontend)
		w.word("cidr", r.CIDR.String())
		w.buf = append(w.buf, '\n')
	}
	for _, m := range s.AffinityMatches {
		w.entry("affinity", m.Frontend)
		w.endpoints("backend", []Endpoint{m.Backend})
		w.buf = append(w.buf, '\n')
	}
	for _, t := range s.Maglev {
		w.maglev(t)
	}
	for _, a := range s.Attachments {
		w.attachment(a)
	}
	for _, m := range s.Maps {
		w.mapLine(m)
	}
}

// clone copies the lists, so that they can be sorted; the entries' own slices
// stay shared.
func (s *State) clone() *State {
	c := *s
	c.Frontends = slices.Clone(s.Frontends)
	c.Backends = slices.Clone(s.Backends)
	c.SourceRanges = slices.Clone(s.SourceRanges)
	c.AffinityMatches = slices.Clone(s.AffinityMatches)
	c.Maglev = slices.Clone(s.Maglev)
	c.Attachments = slices.Clone(s.Attachments)
	c.Maps = slices.Clone(s.Maps)
	return &c
}

// textWriter holds what it has written, or hands it on.
type textWriter struct {
	buf []byte
	to  io.Writer // nil: nobody
	err error
}

// textChunk is how many bytes are handed on at once.
const textChunk = 1 << 15

// flush hands on what is held, if it is that much.
func (w *textWriter) flush(most int) {
	if w.to != nil && len(w.buf) > most {
		_, err := w.to.Write(w.buf)
		w.err, w.buf = cmp.Or(w.err, err), w.buf[:0]
	}
}

func (w *textWriter) backend(b *Backend) {
	w.buf, _ = b.Endpoint.AppendText(append(w.buf, "backend "...))
	w.word("state", b.State.String())
	w.end("zone", uint64(b.Zone))
}

func (w *textWriter) frontend(f *Frontend) {
	w.entry("frontend", f.FrontendName)
	w.word("type", f.Type.String())
	w.word("flags", f.Flags.String())
	w.word("alg", f.Algorithm.String())
	w.number("affinity", uint64(f.AffinityTimeoutSeconds))
	if f.L7ProxyPort != 0 {
		w.number("l7port", uint64(f.L7ProxyPort))
	}
	w.text("service", f.Service)
	w.text("port", f.PortName)
	w.endpoints("backends", f.Backends)
	w.endpoints("inactive", f.Inactive)
	if f.IDs != nil {
		w.number("revnat", uint64(f.IDs.ReverseNAT))
		counts(w, "ids", f.IDs.Backends)
	}
	w.buf = append(w.buf, '\n')
}

func (w *textWriter) maglev(t MaglevTable) {
	w.entry("maglev", t.Frontend)
	w.number("size", uint64(t.TableSize))
	w.text("digest", t.Digest)
	counts(w, "slots", t.Slots)
	w.buf = append(w.buf, '\n')
}

func (w *textWriter) attachment(a Attachment) {
	w.name("attachment", a.Program)
	w.text("attach", a.Attach)
	w.text("target", a.Target)
	if a.Copies > 0 {
		w.number("copies", uint64(a.Copies))
	}
	if a.StaleMaps != "" {
		w.text("stale", a.StaleMaps)
	}
	w.buf = append(w.buf, '\n')
}

func (w *textWriter) mapLine(m Map) {
	w.name("map", m.Name)
	w.text("type", m.Type)
	w.number("key", uint64(m.KeySize))
	w.number("value", uint64(m.ValueSize))
	w.number("max", uint64(m.MaxEntries))
	w.word("flags", "0x"+strconv.FormatUint(uint64(m.Flags), 16))
	w.buf = append(w.buf, '\n')
}

// entry starts a line whose identity is an address.
func (w *textWriter) entry(kind string, id encoding.TextAppender) {
	w.buf = append(append(w.buf, kind...), ' ')
	w.buf, _ = id.AppendText(w.buf)
}

// name starts a line whose identity is free text.
func (w *textWriter) name(kind, id string) {
	w.buf = append(append(append(w.buf, kind...), ' '), quote(id)...)
}

func (w *textWriter) key(key string) { w.buf = append(append(append(w.buf, ' '), key...), '=') }

// word writes a value that never needs quotes.
func (w *textWriter) word(key, value string) {
	w.key(key)
	w.buf = append(w.buf, value...)
}

func (w *textWriter) text(key, value string) {
	w.key(key)
	w.buf = append(w.buf, quote(value)...)
}

func (w *textWriter) number(key string, n uint64) {
	w.key(key)
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

func (w *textWriter) end(key string, n uint64) {
	w.number(key, n)
	w.buf = append(w.buf, '\n')
}

func (w *textWriter) endpoints(key string, list []Endpoint) {
	w.key(key)
	if len(list) == 0 {
		w.buf = append(w.buf, '-')
	}
	for i, e := range list {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf, _ = e.AppendText(w.buf)
	}
}

// counts writes name=number pairs, sorted by name.
func counts[N int | uint32](w *textWriter, key string, m map[string]N) {
	w.key(key)
	if len(m) == 0 {
		w.buf = append(w.buf, '-')
	}
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(append(w.buf, quote(name)...), '=')
		w.buf = strconv.AppendInt(w.buf, int64(m[name]), 10)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// quote gives a text that splits at spaces, commas and "=" can't break.
func quote(s string) string {
	if s == "" {
		return "-"
	}
	if s == "-" || strings.ContainsFunc(s, ambiguous) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func ambiguous(r rune) bool {
	return r <= ' ' || r > '~' || r == '"' || r == ',' || r == '=' || r == '#'
}

// Parse is the inverse of String. It reports what is wrong with any line, all
// of it at once, and nothing of a text that has an error is returned.
func Parse(text string) (*State, error) {
	p := &parser{state: &State{}, seen: map[string]int{}}
	for n, line := range strings.Split(text, "\n") {
		p.line = n + 1
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			p.parseLine(line)
		}
	}
	if p.seen["layout"] == 0 && len(p.errs) == 0 {
		p.line = 1
		p.fail("no layout line: want %q", "layout "+LayoutNone.example())
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	p.state.Sort()
	return p.state, nil
}

// example names a layout for messages.
func (Layout) example() string { return layoutNames[Cilium117] }

type parser struct {
	state *State
	line  int
	errs  []error
	seen  map[string]int // identity of an entry → its line
}

func (p *parser) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("line %d: "+format, append([]any{p.line}, args...)...))
}

func (p *parser) parseLine(line string) {
	words, err := splitWords(line, ' ')
	if err != nil {
		p.fail("%v", err)
		return
	}
	if len(words) < 2 {
		p.fail("%q: want a kind, a name and key=value pairs", line)
		return
	}
	parse, known := kinds[words[0]]
	if !known {
		p.fail("unknown kind %q: want one of layout, frontend, backend, range, affinity, maglev, attachment, map", words[0])
		return
	}
	f := &fields{parser: p, what: words[0] + " " + words[1], id: words[1]}
	before := len(p.errs)
	f.split(words[2:])
	identity := parse(f, p.state)
	f.rest()
	if len(p.errs) == before {
		p.claim(f.what, identity)
	}
}

// claim refuses a second entry of one identity. What has "?" for an address has
// none: a kernel may hold several leftovers whose ids lead nowhere.
func (p *parser) claim(what, identity string) {
	if first := p.seen[identity]; first > 0 && !strings.Contains(identity, " ?:") {
		p.fail("%s: repeats line %d", what, first)
	}
	p.seen[identity] = p.line
}

// kinds parses one line of each kind into the State and gives its identity.
var kinds = map[string]func(*fields, *State) string{
	"layout":     parseLayout,
	"frontend":   parseFrontend,
	"backend":    parseBackend,
	"range":      parseRange,
	"affinity":   parseAffinity,
	"maglev":     parseMaglev,
	"attachment": parseAttachment,
	"map":        parseMap,
}

func parseLayout(f *fields, s *State) string {
	if f.id == "-" {
		f.id = ""
	}
	f.textID(&s.Layout)
	return "layout"
}

func parseFrontend(f *fields, s *State) string {
	var fe Frontend
	f.textID(&fe.FrontendName)
	f.addressed(fe.Address)
	f.textual("type", &fe.Type)
	flags, err := ParseFlags(f.list("flags"))
	f.check("flags", err)
	fe.Flags = flags
	f.textual("alg", &fe.Algorithm)
	fe.AffinityTimeoutSeconds = uint32(f.number("affinity", 32))
	if f.has("l7port") {
		fe.L7ProxyPort = uint16(f.number("l7port", 16))
	}
	fe.Service, fe.PortName = f.text("service"), f.text("port")
	fe.Backends, fe.Inactive = f.endpoints("backends"), f.endpoints("inactive")
	if f.has("revnat") || f.has("ids") {
		fe.IDs = &FrontendIDs{ReverseNAT: uint16(f.number("revnat", 16)), Backends: parseCounts[uint32](f, "ids", 32)}
	}
	s.Frontends = append(s.Frontends, fe)
	return "frontend " + fe.FrontendName.String()
}

func parseBackend(f *fields, s *State) string {
	var b Backend
	f.textID(&b.Endpoint)
	f.addressed(b.Address)
	f.textual("state", &b.State)
	b.Zone = uint8(f.number("zone", 8))
	s.Backends = append(s.Backends, b)
	return "backend " + b.Endpoint.String()
}

func parseRange(f *fields, s *State) string {
	var r SourceRange
	f.textID(&r.Frontend)
	f.textual("cidr", &r.CIDR)
	s.SourceRanges = append(s.SourceRanges, r)
	return "range " + r.Frontend.String() + " " + r.CIDR.String()
}

func parseAffinity(f *fields, s *State) string {
	var m AffinityMatch
	f.textID(&m.Frontend)
	f.textual("backend", &m.Backend)
	s.AffinityMatches = append(s.AffinityMatches, m)
	return "affinity " + m.Frontend.String() + " " + m.Backend.String()
}

func parseMaglev(f *fields, s *State) string {
	var t MaglevTable
	f.textID(&t.Frontend)
	t.TableSize = uint32(f.number("size", 32))
	t.Digest = f.text("digest")
	t.Slots = parseCounts[int](f, "slots", 31)
	s.Maglev = append(s.Maglev, t)
	return "maglev " + t.Frontend.String()
}

func parseAttachment(f *fields, s *State) string {
	a := Attachment{Program: f.unquote(f.id), Attach: f.text("attach"), Target: f.text("target")}
	if f.has("copies") {
		if a.Copies = uint32(f.number("copies", 32)); a.Copies == 0 {
			f.fail("%s: copies is 0: leave it out", f.what)
		}
	}
	if f.has("stale") {
		if a.StaleMaps = f.text("stale"); a.StaleMaps == "" {
			f.fail("%s: stale is empty: leave it out", f.what)
		}
	}
	s.Attachments = append(s.Attachments, a)
	return fmt.Sprintf("attachment %q", []string{a.Program, a.Attach, a.Target})
}

func parseMap(f *fields, s *State) string {
	m := Map{Name: f.unquote(f.id), Type: f.text("type")}
	m.KeySize = uint32(f.number("key", 32))
	m.ValueSize = uint32(f.number("value", 32))
	m.MaxEntries = uint32(f.number("max", 32))
	flags, err := strconv.ParseUint(f.take("flags"), 0, 32)
	f.check("flags", err)
	m.Flags = uint32(flags)
	s.Maps = append(s.Maps, m)
	return "map " + m.Name
}

// fields are the key=value pairs of a line; each is taken once.
type fields struct {
	*parser
	what  string
	id    string
	keys  []string
	value map[string]string
}

func (f *fields) split(words []string) {
	f.value = make(map[string]string, len(words))
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if _, twice := f.value[key]; twice || !ok || value == "" {
			f.fail("%s: %q: want key=value, each key once", f.what, word)
			continue
		}
		f.keys = append(f.keys, key)
		f.value[key] = value
	}
}

func (f *fields) has(key string) bool {
	_, ok := f.value[key]
	return ok
}

func (f *fields) take(key string) string {
	value, ok := f.value[key]
	if !ok {
		f.fail("%s: %s is missing", f.what, key)
		return "0" // said already; a number's parser has no second complaint
	}
	delete(f.value, key)
	return value
}

// rest refuses what no kind has taken.
func (f *fields) rest() {
	for _, key := range f.keys {
		if f.has(key) {
			f.fail("%s: unknown key %q", f.what, key)
		}
	}
}

func (f *fields) check(key string, err error) {
	if err != nil {
		f.fail("%s: %s: %v", f.what, key, err)
	}
}

func (f *fields) textID(into encoding.TextUnmarshaler) {
	if err := into.UnmarshalText([]byte(f.id)); err != nil {
		f.fail("%s: %v", f.what, err)
	}
}

// addressed refuses "?", which only a slot or a reference by id may have.
func (f *fields) addressed(addr netip.Addr) {
	if !addr.IsValid() && strings.HasPrefix(f.id, "?") {
		f.fail("%s: want an address", f.what)
	}
}

func (f *fields) textual(key string, into encoding.TextUnmarshaler) {
	if !f.has(key) {
		f.take(key)
		return
	}
	f.check(key, into.UnmarshalText([]byte(f.take(key))))
}

func (f *fields) number(key string, bits int) uint64 {
	n, err := strconv.ParseUint(f.take(key), 10, bits)
	f.check(key, err)
	return n
}

func (f *fields) text(key string) string { return f.unquote(f.take(key)) }

func (f *fields) unquote(value string) string {
	if value == "-" {
		return ""
	}
	if !strings.HasPrefix(value, `"`) {
		return value
	}
	text, err := strconv.Unquote(value)
	if err != nil {
		f.fail("%s: %s: want a quoted text", f.what, value)
	}
	return text
}

// list splits at commas; "-" has no elements.
func (f *fields) list(key string) []string {
	if !f.has(key) {
		f.take(key)
		return nil
	}
	value := f.take(key)
	if value == "-" {
		return nil
	}
	words, err := splitWords(value, ',')
	f.check(key, err)
	return words
}

func (f *fields) endpoints(key string) []Endpoint {
	words := f.list(key)
	if len(words) == 0 {
		return nil
	}
	list := make([]Endpoint, len(words))
	for i, word := range words {
		f.check(key, list[i].UnmarshalText([]byte(word)))
	}
	return list
}

func parseCounts[N int | uint32](f *fields, key string, bits int) map[string]N {
	counts := map[string]N{}
	for _, word := range f.list(key) {
		i := strings.LastIndexByte(word, '=')
		if i < 0 {
			f.fail("%s: %s: %q: want NAME=NUMBER", f.what, key, word)
			continue
		}
		name := f.unquote(word[:i])
		n, err := strconv.ParseUint(word[i+1:], 10, bits)
		f.check(key, err)
		if _, twice := counts[name]; twice {
			f.fail("%s: %s: %q is given twice", f.what, key, name)
		}
		counts[name] = N(n)
	}
	return counts
}

// splitWords splits at a separator outside quotes. Spaces may be repeated.
func splitWords(text string, sep byte) ([]string, error) {
	var words []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			words = append(words, text[start:i])
			start = i + 1
		}
	}
	if quoted {
		return nil, fmt.Errorf("%q: a quote is not closed", text)
	}
	words = append(words, text[start:])
	if sep == ' ' {
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	}
	return words, nil
}
