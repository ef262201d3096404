#!/usr/bin/env python3
"""Builds programs of others against an installed lull, the ways people do.

usage: run.py SOURCE BUILD CASE
  install       puts the build into BUILD/tests/consumers/prefix, for those below; nothing of theirs touches BUILD afterwards
  first         what a build tree exports when it has been configured only once
  cmake         find_package(lull), lull::gc, lull::malloc, and lull::debug where it was built
  pkg_config    g++ with pkg-config's flags
  no_exceptions the same without exceptions and run-time types
  c             a C11 compiler, -Wpedantic, pkg-config's flags
  static        static programs, position-independent too, that start and make their first object, in an empty root folder where one may have
                one; they need no loader, and have 2.1 MB at most when stripped
  start         ... and how soon: at most a millisecond of processor time to its first object
  shared        liblull-malloc.so: its SONAME, its links, and that it exports the malloc family, operators new and delete, and the lull_ functions only
  deb           the Debian package that cpack makes
  subproject    add_subdirectory(lull)
Exit status 77: what the case needs is not there.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(*command, **more):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if result.returncode != 0:
        print(*command)
        print(f'exit status {result.returncode}')
        print(result.stdout + result.stderr)
        sys.exit(1)
    return result.stdout


def expect_fine(program, **more):
    said = run(program, **more).strip()
    if said != 'fine':
        sys.exit(f'{program}: said {said!r}')


def flags(prefix, *more):
    path = next(prefix.glob('**/lull.pc')).parent
    return run('pkg-config', '--cflags', '--libs', '--define-prefix', *more, 'lull', env={**os.environ, 'PKG_CONFIG_PATH': str(path)}).split()


def cmake(source, build, prefix):
    run('cmake', '-S', source, '-B', build, '-G', 'Ninja', f'-DCMAKE_PREFIX_PATH={prefix}', '-DCMAKE_BUILD_TYPE=Release')
    run('cmake', '--build', build)


def case_install(_, prefix, __):
    shutil.rmtree(prefix, ignore_errors=True)
    run('cmake', '--install', sys.argv[2], '--prefix', prefix)


# Variables that a later include puts into the cache are there from the second time on: users of a fresh tree did not find the headers.
def case_first(scratch, _, source):
    run('cmake', '-S', source, '-B', scratch, '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Release', '-DLULL_BUILD_TESTS=OFF', '-DLULL_BUILD_BENCH=OFF',
        '-DLULL_BUILD_APPS=OFF')
    exported = next(scratch.glob('CMakeFiles/Export/**/lull_targets.cmake')).read_text()
    if exported.count('INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include"') < 2:
        sys.exit(f'no include folder:\n{exported}')


def case_cmake(scratch, prefix, _):
    cmake(HERE / 'cmake', scratch / 'build', prefix)
    expect_fine(scratch / 'build' / 'uses_gc')
    if list(prefix.glob('**/liblull_debug.a')):
        expect_fine(scratch / 'build' / 'uses_debug')
    library = next(prefix.glob('**/liblull-malloc.so')).parent
    expect_fine(scratch / 'build' / 'uses_malloc', env={**os.environ, 'LD_LIBRARY_PATH': str(library)})


def case_pkg_config(scratch, prefix, _):
    program = scratch / 'uses_gc'
    run('g++', '-std=c++20', '-O1', HERE / 'plain/uses_gc.cc', '-o', program, *flags(prefix))
    expect_fine(program)


def case_no_exceptions(scratch, prefix, _):
    program = scratch / 'uses_gc'
    if shutil.which('clang++'):  # whose warnings are others: a pragma for gcc's was one
        run('clang++', '-std=c++20', '-Wall', '-Wextra', '-Werror', '-fno-exceptions', '-fno-rtti', '-fsyntax-only', HERE / 'plain/uses_gc.cc',
            *(flag for flag in flags(prefix) if flag.startswith('-I')))
    run('g++', '-std=c++20', '-O1', '-Wall', '-Wextra', '-Werror', '-fno-exceptions', '-fno-rtti', HERE / 'plain/uses_gc.cc', '-o', program, *flags(prefix))
    expect_fine(program)


def case_c(scratch, prefix, _):
    program = scratch / 'uses_c'
    run('gcc', '-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', HERE / 'plain/uses_c.c', '-o', program, *flags(prefix, '--static'))
    expect_fine(program)


MOST_STRIPPED = 2_100_000  # the C++ library included, which alone takes a third of it


def case_static(scratch, prefix, _):
    program = scratch / 'uses_gc'
    run('g++', '-std=c++20', '-O1', '-static', HERE / 'plain/uses_gc.cc', '-o', program, *flags(prefix))
    expect_fine(program)
    pie = scratch / 'uses_gc_pie'
    run('g++', '-std=c++20', '-O1', '-static-pie', '-fPIE', HERE / 'plain/uses_gc.cc', '-o', pie, *flags(prefix))
    expect_fine(pie)
    for built in (program, pie):
        run('strip', built)
        print(f'{built.name}: {built.stat().st_size} bytes stripped')
        if built.stat().st_size > MOST_STRIPPED:
            sys.exit(f'more than {MOST_STRIPPED} bytes')
        if 'INTERP' in run('readelf', '-l', built):
            sys.exit(f'{built.name} asks for a dynamic loader')
    root = scratch / 'empty'
    root.mkdir()
    shutil.copy(program, root)
    if os.getuid() == 0 and shutil.which('chroot'):
        said = run('chroot', root, '/uses_gc').strip()
        if said != 'fine':
            sys.exit(f'in an empty root folder: {said!r}')
    else:
        print('no chroot: run in place only')


# The best of many, in processor time, and beside a program without lull: others on the machine can only make it longer. An idle machine takes
# less than a millisecond for all of it, more than half of that without lull.
def case_start(scratch, prefix, _):
    best = {}
    for name, more in (('with', []), ('without', ['-DWITHOUT'])):
        program = scratch / name
        run('g++', '-std=c++20', '-O2', '-static', *more, HERE / 'plain/starts.cc', '-o', program, *flags(prefix))
        best[name] = min(int(run(program)) for _ in range(30)) / 1e6
    print(f'{best["with"]:.3f} ms to the first object, {best["without"]:.3f} ms without lull')
    if best['with'] - best['without'] > 1:
        sys.exit('more than a millisecond')


EXPORTED = re.compile(
    r'lull_\w+|operator (new|delete)(\[\])?\(.*|dlopen|dlclose|malloc\w*|mallopt|mallinfo2?|calloc|cfree|free|free_sized|free_aligned_sized|realloc|reallocarray|'
    r'aligned_alloc|posix_memalign|memalign|p?valloc|nallocx|sdallocx|__libc_(malloc|free|calloc|realloc|reallocarray|memalign|p?valloc)')


def case_shared(_, prefix, __):
    library = next(prefix.glob('**/liblull-malloc.so'))
    soname = re.search(r'SONAME.*\[(.*)\]', run('readelf', '-d', library)).group(1)
    version = os.readlink(library.parent / soname)
    if not re.fullmatch(r'liblull-malloc\.so\.\d+', soname) or not re.fullmatch(re.escape(soname) + r'\.\d+\.\d+', version) or os.readlink(library) != soname:
        sys.exit(f'liblull-malloc.so -> {os.readlink(library)}, SONAME {soname} -> {version}')
    names = {line.split(maxsplit=2)[2] for line in run('nm', '-DC', '--defined-only', library).splitlines()}
    foreign = sorted(name for name in names if not EXPORTED.fullmatch(name))
    missing = {'malloc', 'free', 'operator new(unsigned long)', 'lull_malloc', 'lull_heap_create'} - names
    if foreign or missing:
        sys.exit(f'exported and not known: {foreign}; missing: {missing}')


def case_deb(scratch, _, source):
    run('cpack', '-G', 'DEB', '-B', scratch, cwd=sys.argv[2])
    package, = scratch.glob('*.deb')
    run('dpkg-deb', '-x', package, scratch / 'root')
    usr = scratch / 'root' / 'usr'
    for pattern in ('include/lull/lull.h', 'include/lull/lull_c.h', 'lib/**/liblull_gc.a', 'lib/**/liblull-malloc.so', 'lib/**/lull-config.cmake', 'lib/**/lull.pc'):
        if not list(usr.glob(pattern)) and not list((usr / 'local').glob(pattern)):
            sys.exit(f'the package has no {pattern}')


def case_subproject(scratch, _, source):
    (scratch / 'CMakeLists.txt').write_text(
        'cmake_minimum_required(VERSION 3.25)\nproject(outer LANGUAGES CXX)\n'
        f'add_subdirectory({source} lull)\nadd_executable(uses_gc {HERE}/plain/uses_gc.cc)\n'
        'target_link_libraries(uses_gc PRIVATE lull::gc)\n')
    run('cmake', '-S', scratch, '-B', scratch / 'build', '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Debug')
    run('cmake', '--build', scratch / 'build', '--target', 'uses_gc')
    expect_fine(scratch / 'build' / 'uses_gc')


def main():
    source, build, case = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    if case == 'deb' and shutil.which('dpkg-deb') is None or case == 'c' and shutil.which('gcc') is None or case not in ('install', 'first', 'cmake', 'subproject') and shutil.which('pkg-config') is None:
        sys.exit(77)
    scratch = build / 'tests' / 'consumers' / case
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    started = time.monotonic()
    globals()[f'case_{case}'](scratch, build / 'tests' / 'consumers' / 'prefix', source)
    print(f'{case}: fine after {time.monotonic() - started:.1f} s')
    shutil.rmtree(scratch, ignore_errors=True)


main()
