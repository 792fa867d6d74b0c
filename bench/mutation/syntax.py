"""Swift sources as the compiler reads them: its syntax tree with types and places, and where a token ends."""
import json, re, subprocess

WORD = re.compile(rb"[A-Za-z_$\x80-\xff][A-Za-z0-9_$\x80-\xff]*")
NUMBER = re.compile(rb"0[xob][0-9A-Fa-f_]+|[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9_]+)?")
OPERATOR = re.compile(rb"\.\.[.<]|[-+*/=<>!&|^~?%]+")


def string_end(text, at):
    """The offset after the string literal that begins at `at`: plain, of several lines, raw, with interpolations."""
    hashes = 0
    while text[at + hashes : at + hashes + 1] == b"#": hashes += 1
    quote = b'"""' if text[at + hashes : at + hashes + 3] == b'"""' else b'"'
    close, escape = quote + b"#" * hashes, b"\\" + b"#" * hashes
    place = at + hashes + len(quote)
    while place < len(text):
        if text.startswith(escape, place):
            place += len(escape)
            if text[place : place + 1] == b"(":
                place = bracket_end(text, place)
            else:
                place += 1
        elif text.startswith(close, place):
            return place + len(close)
        else:
            place += 1
    raise ValueError(f"a string without an end at byte {at}")


def bracket_end(text, at):
    """The offset after the parenthesis that closes the one at `at`."""
    depth, place = 0, at
    while place < len(text):
        character = text[place : place + 1]
        if character == b"(": depth += 1
        if character == b")":
            depth -= 1
            if depth == 0: return place + 1
        if character == b'"':
            place = string_end(text, place)
        elif text.startswith(b"//", place):
            place = text.index(b"\n", place)
        elif text.startswith(b"/*", place):
            place = text.index(b"*/", place) + 2
        else:
            place += 1
    raise ValueError(f"a parenthesis without an end at byte {at}")


def token_end(text, at):
    """The offset after the token that begins at `at`."""
    first = text[at : at + 1]
    if first == b'"' or re.match(rb'#+"', text[at : at + 8]): return string_end(text, at)
    if first == b"`": return text.index(b"`", at + 1) + 1
    if first == b"#": return WORD.match(text, at + 1).end()
    if first.isdigit(): return NUMBER.match(text, at).end()
    word = WORD.match(text, at)
    return word.end() if word else at + 1


def operator_end(text, at):
    return OPERATOR.match(text, at).end()


def trees(files, arguments, folder):
    """The compiler's trees of a module's files: [(path, tree)]. `arguments` are a compiler's that would build the module."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [folder / f"{index}.json" for index in range(len(files))]
    command = ["swiftc", "-frontend", "-dump-ast", "-dump-ast-format", "json", "-suppress-warnings", *arguments]
    for file in files: command += ["-primary-file", str(file)]
    for output in outputs: command += ["-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0: raise RuntimeError("the compiler did not read the module:\n" + done.stderr[-3000:])
    return [(str(file), json.loads(output.read_text())) for file, output in zip(files, outputs)]


def demangled(names):
    """Types as source spells them, by their mangled names."""
    names = sorted(names)
    done = subprocess.run(["swift", "demangle", "-compact"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines()))
