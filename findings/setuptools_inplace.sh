#!/usr/bin/env bash
# setuptools 84.2.1: build_ext --inplace leaves an old extension where it is, if that is newer than what it has built.
#
# Extensions are built in a build folder and then copied beside the sources ("always", says a comment in the method).
# The copy goes through copy_file, which skips a target that is newer than its source. So: build in folder A, build in
# folder B (another set of flags, say), go back to A, which is up to date: the extension in use is still B's. Delete or
# touch the target, or copy it yourself, where one tree has several kinds of build.
#
# Seen on 2026-11-28 (Python 3.11, setuptools 84.2.1): after builds with VALUE=1, VALUE=2 and VALUE=1 the module says 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q setuptools==84.2.1
mkdir package && cd package
cat > one.c <<'C'
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "one", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_one(void) {
    PyObject *m = PyModule_Create(&module);
    PyModule_AddIntConstant(m, "value", VALUE);
    return m;
}
C
cat > setup.py <<'PY'
import os
from setuptools import Extension, setup

value = os.environ["VALUE"]
setup(
    name="one",
    ext_modules=[Extension("one", ["one.c"], define_macros=[("VALUE", value)])],
    options={"build": {"build_base": f"build/{value}"}, "build_ext": {"inplace": True}},
)
PY
for value in 1 2 1; do
    VALUE=$value ../env/bin/python setup.py -q build_ext
    sleep 1.1
done
seen=$(../env/bin/python -c "import one; print(one.value)")
echo "setuptools 84.2.1: built with 1, 2 and 1, the module has $seen"
[ "$seen" = 2 ] || { echo "the behaviour has changed"; exit 1; }
