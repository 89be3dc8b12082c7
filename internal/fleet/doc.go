// Package fleet measures what an engine with many clusters, and a cluster with many nodes, costs: calls to the clouds,
// processor time, memory: 'make bench' runs that, and docs/performance.md tells of it. With the same means a whole engine goes
// through the life of a cluster while the lab's APIs go wrong by rules.
//
// The drivers are the production ones. Calls are counted against the lab's APIs. Processor time and memory are measured
// against recorded answers: one cluster is made at the lab's APIs by a real engine, one run without drift is recorded, and a
// second process serves the recording over HTTPS to as many clusters as wanted, each with its own accounts, ids and names
// put in the place of the recorded ones. So only the engine is measured, and not the lab.
package fleet
