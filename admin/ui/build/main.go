// Build bundles the console's page: admin/ui/src and the vendored sources become
// admin/ui/dist, which package ui embeds. It is a module of its own, so that nobody
// downloads the bundler who does not change the page.
//
//	go run .                 # writes ../dist and ../src/api-types.ts
//	go run . -check          # exits with 1 if they are not what the sources and openapi.json make
//	go run . -check -types   # the same, for the types alone
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	root := flag.String("root", "..", "folder that holds src, third_party and dist")
	check := flag.Bool("check", false, "compare dist with the sources instead of writing it")
	types := flag.Bool("types", false, "the types of the API alone")
	flag.Parse()
	err := typed(*root, *check)
	if err == nil && !*types {
		err = run(*root, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ui:", err)
		os.Exit(1)
	}
}

// typed writes the types of the API's answers, or compares them.
func typed(root string, check bool) error {
	want, err := apiTypes(root)
	if err != nil {
		return err
	}
	path := filepath.Join(root, "src", "api-types.ts")
	if !check {
		return os.WriteFile(path, want, 0o644)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		return errors.Join(errors.New("src/api-types.ts is not what openapi.json makes: run make ui"), err)
	}
	return nil
}

func run(root string, check bool) error {
	files, err := bundle(root)
	if err != nil {
		return err
	}
	dist := filepath.Join(root, "dist")
	if check {
		return compare(dist, files)
	}
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(dist, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle returns the files of dist by name: one script and one style sheet, whose names
// hold a hash of their content, and index.html, which names them.
func bundle(root string) (map[string][]byte, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	vendored := func(name string) string { return filepath.Join(root, "third_party", filepath.FromSlash(name)) }
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       []string{"src/main.tsx"},
		Outdir:            "dist",
		EntryNames:        "assets/app-[hash]",
		Bundle:            true,
		MinifyWhitespace:  true,
		MinifySyntax:      true,
		MinifyIdentifiers: true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		LegalComments:     api.LegalCommentsNone,
		LogLevel:          api.LogLevelWarning,
		Alias: map[string]string{
			"preact":               vendored("preact/preact.mjs"),
			"preact/hooks":         vendored("preact/hooks.mjs"),
			"preact/jsx-runtime":   vendored("preact/jsx-runtime.mjs"),
			"@preact/signals":      vendored("signals/signals.mjs"),
			"@preact/signals-core": vendored("signals/signals-core.mjs"),
		},
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the bundle has errors")
	}
	files := map[string][]byte{}
	page, err := os.ReadFile(filepath.Join(root, "src", "index.html"))
	if err != nil {
		return nil, err
	}
	for _, f := range result.OutputFiles {
		name, err := filepath.Rel(filepath.Join(root, "dist"), f.Path)
		if err != nil {
			return nil, err
		}
		name = filepath.ToSlash(name)
		files[name] = f.Contents
		switch filepath.Ext(name) {
		case ".js":
			page = bytes.ReplaceAll(page, []byte("{{script}}"), []byte(name))
			build := strings.TrimSuffix(strings.TrimPrefix(name, "assets/app-"), ".js")
			page = bytes.ReplaceAll(page, []byte("{{build}}"), []byte(build))
		case ".css":
			page = bytes.ReplaceAll(page, []byte("{{style}}"), []byte(name))
		}
	}
	files["index.html"] = page
	if files["icon.svg"], err = os.ReadFile(filepath.Join(root, "src", "icon.svg")); err != nil {
		return nil, err
	}
	return files, nil
}

// compare reports the first file in which the folder and the bundle differ.
func compare(dist string, files map[string][]byte) error {
	err := filepath.WalkDir(dist, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dist, path)
		if err != nil {
			return err
		}
		if files[filepath.ToSlash(name)] == nil {
			return fmt.Errorf("dist/%s is not made from the sources: run make ui", name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dist, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("dist/%s is not what the sources make: run make ui", name)
		}
	}
	return nil
}
