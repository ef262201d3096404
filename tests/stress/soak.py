#!/usr/bin/env python3
"""Runs the oracle stress (oracle.cc) for a time: all modes in turn, each run with a fresh seed, threads and length at random.

    soak.py PROGRAM --minutes M [--log FILE] [--modes a,b] [--seed N]   status 1 after the first failure, shrunk
    soak.py PROGRAM --shrink "--mode rage --seed 7 ..."                 only looks for a smaller run that fails
    soak.py --self-test

All runs follow from one seed, which the first line of the log names: with it and the same modes they are the same, in the same order.
A failure is a fault that the program reports, any other death, or a run that does not end. Threads interleave as the machine
likes, so a failing run is tried several times at each smaller size, with its seed and with others.
"""
import argparse
import pathlib
import random
import shlex
import subprocess
import sys
import tempfile
import time

TIMEOUT_S = 120
TRIES = 8
SIZES = {'--threads': 2, '--rounds': 1, '--steps': 50}  # what is made smaller, and where that ends


def run(program, arguments):
    """(failed, what it printed)"""
    try:
        done = subprocess.run([*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as late:
        return True, (late.stdout or b'').decode(errors='replace') + f'\ndid not end within {TIMEOUT_S} s'
    output = done.stdout.decode(errors='replace')
    return done.returncode != 0, output + (f'\nstatus {done.returncode}' if done.returncode else '')


def value_of(arguments, name):
    return int(arguments[arguments.index(name) + 1], 0)


def with_value(arguments, name, value):
    at = arguments.index(name)
    return arguments[:at + 1] + [str(value)] + arguments[at + 2:]


def failing_variant(fails, arguments, tries):
    """The arguments or a variant with another seed that fails; None when none does."""
    for attempt in range(tries):
        variant = arguments if attempt % 2 == 0 else with_value(arguments, '--seed', random.getrandbits(32))
        if fails(variant):
            return variant
    return None


def shrink(fails, arguments, tries=TRIES):
    """Halves threads, rounds and steps as long as runs fail."""
    smaller = True
    while smaller:
        smaller = False
        for name, least in SIZES.items():
            value = value_of(arguments, name)
            if value <= least:
                continue
            variant = failing_variant(fails, with_value(arguments, name, max(least, value // 2)), tries)
            if variant is not None:
                arguments, smaller = variant, True
    return arguments


def report(program, arguments, output, log):
    log('FAILED: ' + shlex.join([*program, *arguments]))
    log(output.strip())
    small = shrink(lambda a: run(program, a)[0], arguments)
    log('smallest run that fails: ' + shlex.join([*program, *small]))


def fresh_run(mode):
    threads, rounds = random.choice([2, 3, 4, 4, 6, 8]), random.randint(1, 5)
    steps = random.choice([500, 2000, 8000, 30000]) // threads
    return ['--mode', mode, '--seed', str(random.getrandbits(32)), '--threads', str(threads), '--steps', str(steps), '--rounds', str(rounds)]


def soak(program, modes, minutes, log):
    end = time.monotonic() + minutes * 60
    count = 0
    while True:
        for mode in modes:
            if time.monotonic() >= end:
                log(f'{count} runs of {len(modes)} modes without a fault')
                return 0
            arguments = fresh_run(mode)
            start = time.monotonic()
            failed, output = run(program, arguments)
            count += 1
            if failed:
                report(program, arguments, output, log)
                return 1
            log(f'{time.monotonic() - start:6.2f} s  {shlex.join(arguments)}  {output.strip().splitlines()[-1]}')


def self_test():
    # A program that fails with three threads or more and a hundred steps or more.
    with tempfile.TemporaryDirectory() as folder:
        fake = pathlib.Path(folder) / 'fake'
        fake.write_text('#!/bin/sh\n[ "$6" -ge 3 ] && [ "$8" -ge 100 ] && { echo "FAULT: planted"; exit 134; }\necho fine\n')
        fake.chmod(0o755)
        start = ['--mode', 'calm', '--seed', '5', '--threads', '8', '--steps', '1000', '--rounds', '4']
        failed, output = run([str(fake)], start)
        assert failed and 'planted' in output
        small = shrink(lambda a: run([str(fake)], a)[0], start, tries=2)
        assert [value_of(small, name) for name in ('--threads', '--steps', '--rounds')] == [4, 125, 1], small
        lines = []
        assert soak([str(fake)], ['calm'], 1, lines.append) == 1 and lines[-1].startswith('smallest run that fails: '), lines
        lines = []
        assert soak(['true'], ['calm'], 0, lines.append) == 0 and lines == ['0 runs of 1 modes without a fault']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program', nargs='?')
    parser.add_argument('--minutes', type=float, default=1)
    parser.add_argument('--log')
    parser.add_argument('--modes', default='')
    parser.add_argument('--seed', type=int, default=random.getrandbits(32))
    parser.add_argument('--shrink')
    parser.add_argument('--self-test', action='store_true')
    options = parser.parse_args()
    if options.self_test:
        self_test()
        return 0
    program = [options.program]
    if options.shrink:
        print(shlex.join([*program, *shrink(lambda a: run(program, a)[0], shlex.split(options.shrink))]))
        return 0
    file = open(options.log, 'a') if options.log else None

    def log(line):
        print(line, flush=True)
        if file:
            print(line, file=file, flush=True)

    names = subprocess.run([*program, '--modes'], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    random.seed(options.seed)
    log(f'seed {options.seed}')
    chosen = [m for m in names if not options.modes or m in options.modes.split(',')]
    return soak(program, chosen, options.minutes, log)


if __name__ == '__main__':
    sys.exit(main())
