"""A self-signed certificate for the server of one run."""
import atexit, os, shutil, subprocess, tempfile


def make():
    folder = tempfile.mkdtemp(prefix="bench-certificate-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench", "-keyout", key, "-out", certificate],
                   check=True, stderr=subprocess.DEVNULL)
    return key, certificate
