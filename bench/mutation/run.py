"""Runs the built tests with one mutant chosen, and stops at the first thing that notices it."""
import concurrent.futures, dataclasses, json, os, pathlib, re, resource, selectors, signal, subprocess, tempfile, threading, time

CAUGHT, TIMED_OUT, SURVIVED, UNREACHED = "caught", "timed out", "survived", "not reached"
#: How often a test is run before a mutant is blamed for its failure alone.
NOTICED = re.compile(r"recorded an issue|✘ Test .* failed")
MEMORY = 6 << 30
#: The quickest tests go first, together: most mutants do not get past them.
FIRST_SECONDS = 1.5
#: A mutant may be slower than the original by this much before it counts as one that does not end.
TIMES, AND_SECONDS = 4, 10


@dataclasses.dataclass
class Test:
    name: str
    seconds: float
    reached: set
    passes: bool


class Runner:
    def __init__(self, binary, cwd, targets):
        self.binary, self.cwd, self.targets = binary, cwd, targets
        self.running, self.lock = set(), threading.Lock()

    def environment(self, number, reached=None):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAST_MUTANT")}
        kept |= {"MAST_MUTANT": str(number), "SWIFT_BACKTRACE": "enable=no"}
        kept.setdefault("MAST_FUZZ_ITERATIONS", "200")
        if reached: kept["MAST_MUTANT_REACHED"] = str(reached)
        return kept

    def command(self, tests):
        command = [str(self.binary), "--testing-library", "swift-testing"]
        for name in tests: command += ["--filter", "^" + re.escape(name) + "(/|$)"]
        return command

    def names(self):
        done = subprocess.run([*self.command([]), "--list-tests"], cwd=self.cwd, capture_output=True, text=True, env=self.environment(0))
        found = [line.strip() for line in done.stdout.splitlines()]
        return sorted(n for n in found if n.split(".")[0] in self.targets)

    def run(self, tests, number, limit, reached=None):
        """(passed, what noticed it, seconds); passed is None when the limit ended it."""
        began = time.monotonic()
        process = subprocess.Popen(
            self.command(tests), cwd=self.cwd, env=self.environment(number, reached), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=bounded)
        with self.lock: self.running.add(process)
        try: noticed, ended = watch(process, began + limit)
        finally:
            with self.lock: self.running.discard(process)
            end(process)
        seconds = time.monotonic() - began
        if noticed: return False, noticed, seconds
        if not ended: return None, "no end", seconds
        if process.returncode == 0: return True, "", seconds
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        return False, how, seconds

    def stop(self):
        with self.lock:
            for process in self.running: end(process)

    def trace(self, jobs, say):
        """Each test alone, without a mutant: how long it takes, whether it passes, which places it reaches."""
        names = self.names()
        if not names: raise RuntimeError(f"no tests of {', '.join(self.targets)} in {self.binary}")
        with tempfile.TemporaryDirectory() as folder:
            def one(index):
                reached = pathlib.Path(folder) / str(index)
                passed, _, seconds = self.run([names[index]], 0, 600, reached)
                data = reached.read_bytes() if reached.exists() else b""
                return Test(names[index], seconds, {n for n, byte in enumerate(data) if byte}, passed is True)
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                tests = []
                for test in pool.map(one, range(len(names))):
                    tests.append(test)
                    say(f"which test reaches what: {len(tests)} of {len(names)}")
        start = min(t.seconds for t in tests)
        for test in tests: test.seconds = max(0.0, test.seconds - start)
        return tests

    def judge(self, mutant, tests):
        """(outcome, what noticed it, seconds) of one mutant."""
        reaching = sorted((t for t in tests if t.passes and mutant.place in t.reached), key=lambda t: (t.seconds, t.name))
        if not reaching: return UNREACHED, "", 0.0
        total, first, spent = 0.0, [], 0.0
        for test in reaching:
            total += test.seconds
            if total <= FIRST_SECONDS or not first: first.append(test)
        for stage in (first, reaching[len(first) :]):
            if not stage: continue
            limit = TIMES * sum(t.seconds for t in stage) + AND_SECONDS
            passed, noticed, seconds = self.run([t.name for t in stage], mutant.number, limit)
            spent += seconds
            if passed is None: return TIMED_OUT, noticed, spent
            if not passed: return CAUGHT, noticed, spent
        return SURVIVED, "", spent


def bounded():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def watch(process, until):
    """Reads what the tests print; (the line that tells of a failure, whether the process ended in time)."""
    tail = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = until - time.monotonic()
            if left <= 0: return None, False
            if not selector.select(left): continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data: break
            *lines, tail = (tail + data).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                if NOTICED.search(text): return text.strip(), True
    try: process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired: return None, False
    return None, True


def end(process):
    """The process and what it started, by its own group."""
    try: os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError: pass
    process.wait()
    if process.stdout: process.stdout.close()
