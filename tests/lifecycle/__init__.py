# SPDX-License-Identifier: Apache-2.0
"""What becomes of content after the push: checks, repairs, lists."""
