"""A copy of the package, trimmed to what one module's tests need, in which that module's sources are replaced by changed ones."""
import json, os, pathlib, re, shutil, subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRATCH = ROOT / ".build-mutants"
#: Symbols for a debugger are the larger part of a build, and nobody debugs this one.
BUILD = ["swift", "build", "-c", "release", "-debug-info-format", "none"]

MANIFEST = """

func mutantNames(_ target: Target) -> [String] {{
    target.dependencies.compactMap {{ dependency in
        switch dependency {{
        case .targetItem(let name, _): name
        case .byNameItem(let name, _): name
        default: nil
        }}
    }}
}}
do {{
    var wanted: Set<String> = [{tests}]
    var grew = true
    while grew {{
        let more = package.targets.filter {{ wanted.contains($0.name) }}.flatMap(mutantNames)
        grew = !wanted.isSuperset(of: more)
        wanted.formUnion(more)
    }}
    package.targets = package.targets.filter {{ wanted.contains($0.name) }}
    package.products = []
    package.targets.append(.target(name: "CMutants", path: "Sources/CMutants"))
    for target in package.targets where target.name == "Mast{module}" {{
        target.dependencies.append("CMutants")
        // What the module is compiled against, without the module.
        package.targets.append(
            .target(name: "MutantNeeds", dependencies: target.dependencies, path: "Sources/MutantNeeds", swiftSettings: settings))
    }}
}}
"""


class BuildFailed(Exception):
    pass


class Tree:
    def __init__(self, module, tests):
        self.module, self.tests = module, tests
        self.path = SCRATCH / "tree"
        self.sources = ROOT / "Sources" / module
        self.changed = self.path / "Sources" / module

    def prepare(self):
        (self.path / "Sources").mkdir(parents=True, exist_ok=True)
        for name in ("Tests", "captures", "bench"): link(self.path / name, ROOT / name)
        for source in sorted((ROOT / "Sources").iterdir()):
            if source.name != self.module: link(self.path / "Sources" / source.name, source)
        link(self.path / "Sources" / "CMutants", HERE / "CMutants")
        needs = self.path / "Sources" / "MutantNeeds"
        needs.mkdir(exist_ok=True)
        write(needs / "MutantNeeds.swift", "enum MutantNeeds {}\n")
        if self.changed.is_symlink(): self.changed.unlink()
        if not self.changed.exists(): shutil.copytree(self.sources, self.changed)
        manifest = re.sub(r"^        \.executable\(.*\n", "", (ROOT / "Package.swift").read_text(), flags=re.M)
        write(self.path / "Package.swift", manifest + MANIFEST.format(tests=", ".join(f'"{t}"' for t in self.tests), module=self.module))
        resolved = ROOT / "Package.resolved"
        if resolved.exists() and not (self.path / "Package.resolved").exists(): shutil.copy(resolved, self.path)

    def build(self, *more):
        """Ends with the compiler's words when it does not build."""
        done = subprocess.run([*BUILD, "--package-path", str(self.path), *more], capture_output=True, text=True)
        if done.returncode != 0: raise BuildFailed(done.stdout + done.stderr)

    def arguments(self):
        """How the compiler is called for the module, less what it should write."""
        for line in (self.path / ".build" / "release.yaml").read_text().splitlines():
            if f'"-module-name","Mast{self.module}"' in line: break
        else: raise BuildFailed(f"no call of the compiler for Mast{self.module}")
        given, kept = iter(json.loads(line.strip().removeprefix("args: "))), []
        for each in given:
            if each in ("-I", "-Xcc", "-swift-version", "-enable-experimental-feature", "-enable-upcoming-feature", "-package-name", "-target",
                        "-module-name", "-module-cache-path"):
                kept += [each, next(given)]
            elif each.startswith("-D"): kept.append(each)
        # The driver says by itself where macros are.
        host = pathlib.Path(shutil.which("swiftc")).resolve().parent.parent / "lib" / "swift" / "host"
        return [*kept, "-in-process-plugin-server-path", str(host / "libSwiftInProcPluginServer.so"), "-plugin-path", str(host / "plugins"), "-parse-as-library"]

    def files(self):
        return sorted(self.sources.rglob("*.swift"))

    def put(self, contents):
        """The module's files, by their paths within it; others go away. A file that stays the same is not touched."""
        for old in self.changed.rglob("*.swift"):
            if str(old.relative_to(self.changed)) not in contents: old.unlink()
        for name, data in contents.items():
            path = self.changed / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != data: path.write_bytes(data)
        for other in self.sources.rglob("*"):
            copy = self.changed / other.relative_to(self.sources)
            if other.is_file() and other.suffix != ".swift" and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(other, copy)

    def complaints(self, arguments):
        """What the compiler says against the changed files up to and with its checks of initialisation and ownership."""
        files = [str(f) for f in sorted(self.changed.rglob("*.swift"))]
        done = subprocess.run(
            ["swiftc", "-frontend", "-emit-sil", "-Onone", "-suppress-warnings", "-diagnostic-style", "llvm", *arguments, "-o", os.devnull, *files],
            capture_output=True, text=True)
        found = set()
        for match in re.finditer(r"^(/.*?):(\d+):(\d+): error: (.*)$", done.stderr, re.M):
            path = pathlib.Path(match[1])
            if path.is_relative_to(self.changed): found.add((str(path.relative_to(self.changed)), int(match[2]), int(match[3]), match[4]))
        if done.returncode != 0 and not found: raise BuildFailed(done.stderr[-4000:])
        return sorted(found)

    @property
    def binary(self):
        return self.path / ".build" / "release" / "mastPackageTests.xctest"


def link(path, target):
    if path.is_symlink() and path.readlink() == target: return
    if path.is_symlink(): path.unlink()
    elif path.exists(): shutil.rmtree(path)
    path.symlink_to(target)


def write(path, text):
    if not path.exists() or path.read_text() != text: path.write_text(text)
