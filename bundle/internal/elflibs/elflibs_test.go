package elflibs

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// elfFile describes a made-up ELF file: just the headers that the resolver reads.
type elfFile struct {
	bits32      bool // for another machine than the others
	interpreter string
	needed      []string
	runPath     string
}

// bytes gives a 64-bit little-endian ELF with one string table, one dynamic section and, when asked for, a loader.
// The format is in elf(5).
func (f elfFile) bytes() []byte {
	if f.bits32 {
		head := make([]byte, 52)
		copy(head, "\x7fELF\x01\x01\x01")
		binary.LittleEndian.PutUint16(head[16:], 3)  // ET_DYN
		binary.LittleEndian.PutUint16(head[18:], 3)  // EM_386
		binary.LittleEndian.PutUint32(head[20:], 1)  // version
		binary.LittleEndian.PutUint16(head[40:], 52) // header size
		return head
	}
	stringTable := []byte{0}
	keep := func(s string) uint64 {
		at := len(stringTable)
		stringTable = append(append(stringTable, s...), 0)
		return uint64(at)
	}
	var dynamic []uint64
	for _, name := range f.needed {
		dynamic = append(dynamic, 1, keep(name)) // DT_NEEDED
	}
	if f.runPath != "" {
		dynamic = append(dynamic, 29, keep(f.runPath)) // DT_RUNPATH
	}
	dynamic = append(dynamic, 0, 0)
	names := []byte("\x00.dynamic\x00.dynstr\x00.shstrtab\x00")

	const headerSize, programSize, sectionSize = 64, 56, 64
	var programs [][]uint64
	body := &bytes.Buffer{}
	start := uint64(headerSize)
	if f.interpreter != "" {
		start += programSize
	}
	put := func(data []byte) (offset, size uint64) {
		offset = start + uint64(body.Len())
		body.Write(data)
		return offset, uint64(len(data))
	}
	if f.interpreter != "" {
		offset, size := put(append([]byte(f.interpreter), 0))
		programs = append(programs, []uint64{offset, 0, 0, size, size, 1})
	}
	dynamicBytes := &bytes.Buffer{}
	binary.Write(dynamicBytes, binary.LittleEndian, dynamic)
	dynamicAt, dynamicSize := put(dynamicBytes.Bytes())
	stringsAt, stringsSize := put(stringTable)
	namesAt, namesSize := put(names)
	sectionsAt := start + uint64(body.Len())

	out := &bytes.Buffer{}
	out.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	write := func(values ...any) {
		for _, value := range values {
			binary.Write(out, binary.LittleEndian, value)
		}
	}
	write(uint16(3), uint16(62), uint32(1), uint64(0), uint64(headerSize), sectionsAt, uint32(0), uint16(headerSize),
		uint16(programSize), uint16(len(programs)), uint16(sectionSize), uint16(4), uint16(3))
	for _, p := range programs {
		write(uint32(3), uint32(4), p) // PT_INTERP, readable
	}
	out.Write(body.Bytes())
	section := func(name, kind uint32, offset, size uint64, link uint32, entry uint64) {
		write(name, kind, uint64(0), uint64(0), offset, size, link, uint32(0), uint64(1), entry)
	}
	section(0, 0, 0, 0, 0, 0)
	section(1, 6, dynamicAt, dynamicSize, 2, 16)
	section(10, 3, stringsAt, stringsSize, 0, 0)
	section(18, 3, namesAt, namesSize, 0, 0)
	return out.Bytes()
}

// root makes a file system with these files: an elfFile, or text.
func root(t *testing.T, files map[string]any) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(nil)
		switch content := content.(type) {
		case elfFile:
			data = content.bytes()
		case string:
			data = []byte(content)
		}
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestClosure(t *testing.T) {
	const loader = "/lib64/ld.so"
	tests := []struct {
		name  string
		files map[string]any
		want  []string
		fail  string
	}{
		{
			name:  "static",
			files: map[string]any{"/bin/p": elfFile{}},
			want:  []string{},
		},
		{
			name: "libraries of libraries, in a circle",
			files: map[string]any{
				"/bin/p": elfFile{interpreter: loader, needed: []string{"a.so"}}, loader: elfFile{},
				"/lib/a.so": elfFile{needed: []string{"b.so"}}, "/usr/lib/b.so": elfFile{needed: []string{"a.so"}},
			},
			want: []string{"/lib/a.so", loader, "/usr/lib/b.so"},
		},
		{
			name: "folders of ld.so.conf and its includes come before the loader's own",
			files: map[string]any{
				"/etc/ld.so.conf": "# comment\ninclude ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/x.conf": "/multi/arch # here\n",
				"/bin/p": elfFile{needed: []string{"a.so"}}, "/lib/a.so": elfFile{}, "/multi/arch/a.so": elfFile{},
			},
			want: []string{"/multi/arch/a.so"},
		},
		{
			name: "what an administrator installed comes last",
			files: map[string]any{
				"/etc/ld.so.conf": "/usr/local/lib\n",
				"/bin/p":          elfFile{needed: []string{"a.so"}}, "/lib/a.so": elfFile{}, "/usr/local/lib/a.so": elfFile{},
			},
			want: []string{"/lib/a.so"},
		},
		{
			name: "another machine's library is passed over",
			files: map[string]any{
				"/bin/p": elfFile{needed: []string{"a.so"}}, "/lib/a.so": elfFile{bits32: true}, "/usr/lib/a.so": elfFile{},
			},
			want: []string{"/usr/lib/a.so"},
		},
		{
			name: "run path with origin, also for the library's own libraries",
			files: map[string]any{
				"/opt/p/bin/p":    elfFile{needed: []string{"a.so"}, runPath: "$ORIGIN/../lib:relative"},
				"/opt/p/lib/a.so": elfFile{needed: []string{"b.so"}}, "/opt/p/lib/b.so": elfFile{},
			},
			want: []string{"/opt/p/lib/a.so", "/opt/p/lib/b.so"},
		},
		{
			name:  "missing library",
			files: map[string]any{"/bin/p": elfFile{needed: []string{"gone.so"}}},
			fail:  "/bin/p: library gone.so not found",
		},
		{
			name:  "missing loader",
			files: map[string]any{"/bin/p": elfFile{interpreter: loader}},
			fail:  loader,
		},
		{
			name:  "no program",
			files: map[string]any{"/bin/p": "#!/bin/sh\n"},
			fail:  "read ELF headers of /bin/p",
		},
		{
			name:  "includes without end",
			files: map[string]any{"/etc/ld.so.conf": "include /etc/ld.so.conf\n", "/bin/p": elfFile{}},
			fail:  "nested too deep",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := root(t, test.files)
			program := "/bin/p"
			if _, ok := test.files["/opt/p/bin/p"]; ok {
				program = "/opt/p/bin/p"
			}
			resolver, err := NewResolver(folder)
			var got []string
			if err == nil {
				got, err = resolver.Closure(program)
			}
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Fatalf("got error %v, want one with %q", err, test.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestThisMachine resolves a real program: every machine that has a dynamic one has its C library.
func TestThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs linux: reads this machine's own programs")
	}
	resolver, err := NewResolver("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"/bin/ls", "/usr/bin/ls"} {
		if _, err := os.Stat(program); err != nil {
			continue
		}
		paths, err := resolver.Closure(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%s needs %q", program, paths)
	}
}
