"""picoquic, built from the sources that aiopquic brings along, with OpenSSL."""
import service, shimmed_quic


class Picoquic(shimmed_quic.ShimmedQUIC):
    resumes = False  # the shim keeps no tickets

    def version(self):
        return {"name": "picoquic", "version": shimmed_quic.library.quic_version().decode(), "encryption": "QUIC, TLS 1.3",
                "notes": "C transport, driven from Python"}


def options(parser):
    parser.add_argument("--congestion", choices=["bbr", "bbr1", "c4", "cubic"], default="bbr")


if __name__ == "__main__":
    shimmed_quic.load("picoquic")
    service.main(Picoquic(), options)
