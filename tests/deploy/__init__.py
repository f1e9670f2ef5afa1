# SPDX-License-Identifier: Apache-2.0
"""What stands in deploy/: checked with the programs that will read it, and run where they can."""
