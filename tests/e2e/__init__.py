"""The charts on a real Kubernetes: installed, upgraded, broken and loaded.

They need a cluster with metrics-server and a default StorageClass, kubectl and helm. Two steps, as
`make e2e` runs them:

    python -m tests.e2e.images     bakes a service and builds its image and three made from it
    python -m pytest -n0 tests/e2e

Both take what they need from the environment:

    E2E_BUILD_IMAGE  command that builds a folder with a Dockerfile and makes the image available
                     to the cluster's nodes, called with the folder and the image's name; default:
                     tests/e2e/build-image, for docker and kind
    E2E_LOCAL_IMAGES set where base images cannot be pulled: builds on what the machine has under
                     their names, whatever its digest
    E2E_HELM         the helm to use, 3 or 4; default: the one on PATH, or .tools/bin/helm
    E2E_REPORT       file for the figures; default: build/e2e.md
    KUBECONFIG       as for kubectl; the current context is used

Everything happens in a namespace of its own, which is deleted in the end. Nothing is sent to the
cluster's network from outside: requests are made by a pod, which runs `load.py`.
"""
