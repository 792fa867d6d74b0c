// AEAD ciphers of OpenSSL's libcrypto with a context kept for a key: setting one up costs as much as sealing a packet.
#ifndef CPACKETCIPHER_H
#define CPACKETCIPHER_H

#include <stddef.h>
#include <stdint.h>

enum mast_cipher_kind { MAST_AES_GCM_128, MAST_AES_GCM_256, MAST_CHACHA20_POLY1305 };

// One direction's key, spread out for use: a kilobyte. It either seals or opens, and belongs to one thread at a time.
struct mast_cipher;

// Whether libcrypto has it.
int mast_cipher_exists(enum mast_cipher_kind kind);

// NULL when libcrypto fails. The key is as long as the kind's.
struct mast_cipher *mast_cipher_new(enum mast_cipher_kind kind, const uint8_t *key, int seals);
void mast_cipher_free(struct mast_cipher *cipher);

// Encrypts in place, and writes 16 bytes behind: the tag, which covers `header` too. 1, or 0 when libcrypto fails.
int mast_cipher_seal(
    struct mast_cipher *cipher, const uint8_t nonce[12], const uint8_t *header, size_t header_bytes, uint8_t *payload, size_t payload_bytes);

// Decrypts in place what stands before the last 16 bytes. 1, or 0 when the tag is another's: what is there is noise then.
int mast_cipher_open(
    struct mast_cipher *cipher, const uint8_t nonce[12], const uint8_t *header, size_t header_bytes, uint8_t *sealed, size_t sealed_bytes);

#endif
