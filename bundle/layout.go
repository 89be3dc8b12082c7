package main

import (
	"path"
	"runtime"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// Where things go on a node: our own folder, so that a distribution's packages stay as they are, and the folder that
// containerd looks for pod network plugins in.
const (
	nodeFolder = "/opt/skyweld/bin"
	cniFolder  = "/opt/cni/bin"
)

// A part is one file or image of the bundle, with the artefact that it comes from.
type part struct {
	artefact string
	file     string // within the artefact
}

// layout is the manifest without sums, and where each of its relative URLs comes from.
func layout() (*manifest.Manifest, map[string]part) {
	m := &manifest.Manifest{
		APIVersion: manifest.APIVersion, KubernetesVersion: kubernetesVersion, OS: "linux", Architecture: runtime.GOARCH,
	}
	parts := map[string]part{}
	addFile := func(artefact, file, url, folder string, links ...string) {
		parts[url] = part{artefact: artefact, file: file}
		m.Files = append(m.Files, manifest.File{
			Name: file, URL: url, Path: path.Join(folder, file), Mode: "0755", Links: links,
		})
	}
	addFile("hyperkube", "hyperkube", "hyperkube", nodeFolder,
		nodeFolder+"/kubeadm", nodeFolder+"/kubectl", nodeFolder+"/kubelet")
	addFile("containerd", "containerd", "containerd", nodeFolder)
	addFile("containerd-shim", "containerd-shim-runc-v2", "containerd-shim-runc-v2", nodeFolder)
	addFile("containerd", "ctr", "ctr", nodeFolder)
	addFile("runc", "runc", "runc", nodeFolder)
	for _, plugin := range cniPlugins {
		name := path.Base(plugin)
		addFile("cni", name, "cni/"+name, cniFolder)
	}
	for _, recipe := range images() {
		file := recipe.name + ".tar"
		parts[file] = part{artefact: imageArtefact(recipe.name), file: file}
		m.Images = append(m.Images, manifest.Image{Name: recipe.name, URL: file, Refs: recipe.refs, Roles: recipe.roles})
	}
	return m, parts
}

// imageArtefact is an image's name among the artefacts, where a program may have the same one.
func imageArtefact(name string) string { return "image-" + name }
