// Command gen makes geo's embedded tables, and the picture in docs/latency.md, from the source tables in geo/tables, and
// checks those on the way: nothing is written while anything is wrong. With -import it first takes the source tables that are
// not kept by hand from the project's data folder. It isn't part of the program.
package main

import (
	"flag"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	root := flag.String("root", ".", "the repository's `folder`")
	imports := flag.Bool("import", false, "take the source tables from the data folder first")
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "with -import: the data `folder`")
	flag.Parse()
	tables := filepath.Join(*root, "geo", "tables")
	if *imports {
		if *data == "" {
			log.Fatal("name the data folder by -data or SKYWELD_DATA")
		}
		files, err := importAll(*data)
		if err != nil {
			log.Fatal(err)
		}
		write(tables, files)
	}
	src, err := read(tables)
	if err != nil {
		log.Fatal(err)
	}
	files, err := build(src)
	if err != nil {
		log.Fatal(err)
	}
	write(*root, files)
}

func write(folder string, files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(folder, filepath.FromSlash(name)), []byte(files[name]), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
