#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""merge - what it costs that changes of others arrive: one figure, or several, beside a reference

	merge.py FIGURE BUILD [options]        merge.py FIGURE --help

Prints lines "name value unit" for bench/report.py, and lines "# " with the ratio to the aim.
BUILD holds peerfs and peerfsd.  Needs /dev/fuse and root; everything lives below one scratch
directory on loopback, and is ended and removed afterwards, interrupted or not.
"""

import argparse
import pathlib
import sys

import beside
import takeover

# A figure is a module: its docstring, arguments(parser) and measure(options).
FIGURES = {"syncthing": beside, "apply": takeover}


def main():
    words = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(description=words[0], epilog=words[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    figures = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    for name, module in FIGURES.items():
        about = module.__doc__
        figure = figures.add_parser(name, description=about, help=about.split("\n", 1)[0],
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
        figure.add_argument("build", type=pathlib.Path, help="where peerfs and peerfsd were built")
        figure.add_argument("--dir", help="where the scratch directory is made")
        module.arguments(figure)
        figure.set_defaults(measure=module.measure)
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options.measure(options)


if __name__ == "__main__":
    sys.exit(main())
