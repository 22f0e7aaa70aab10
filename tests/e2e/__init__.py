"""Tests of the charts on a real cluster: installation, upgrades, faults and load.

They need a cluster with metrics-server and a default StorageClass, kubectl and helm. `make e2e`
runs two steps:

    python -m tests.e2e.images     generate a service; build its image and five derived images
    python -m pytest -n0 tests/e2e

Environment variables of both:

    E2E_BUILD_IMAGE  command that builds a folder's Dockerfile and loads the image into the nodes,
                     with the folder and the image name as arguments; default:
                     tests/e2e/build-image, for Docker and kind
    E2E_LOCAL_IMAGES set it if base images cannot be pulled: builds use local images with the same
                     names, regardless of their digests
    E2E_HELM         the Helm command, 3 or 4; default: helm on PATH, or .tools/bin/helm
    E2E_REPORT       file for the figures; default: build/e2e.md
    E2E_UNTIL        seconds since 1970; tests that have not started by then are skipped
    KUBECONFIG       as for kubectl; the current context is used

The tests create a dedicated namespace and delete it at the end. All requests are sent from a pod in
it, which runs the runtime's `drills.load`, and none from outside the cluster.
"""
