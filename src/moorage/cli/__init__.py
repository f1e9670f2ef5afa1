# SPDX-License-Identifier: Apache-2.0
"""The command line: one module for each command, each with a function `command`.

Commands are thin doors to the heart. Which there are is the table in `main`; the invariant: a
command's module, and all it needs, is imported only when that command runs.
"""
