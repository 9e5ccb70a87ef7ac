//go:build !purego

#include "textflag.h"

// func cpuHasAES() bool
TEXT ·cpuHasAES(SB), NOSPLIT, $0-1
	MOVL  $1, AX
	XORL  CX, CX
	CPUID
	SHRL  $25, CX
	ANDL  $1, CX
	MOVB  CX, ret+0(FP)
	RET

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL       w+0(FP), AX
	MOVQ       AX, X0
	PSHUFD     $0, X0, X0 // four times the same: shifting rows changes nothing
	PXOR       X1, X1
	AESENCLAST X1, X0
	MOVQ       X0, AX
	MOVL       AX, ret+8(FP)
	RET

// func invertKeys(rounds int, dec, enc *uint32)
TEXT ·invertKeys(SB), NOSPLIT, $0-24
	MOVQ   rounds+0(FP), CX
	MOVQ   dec+8(FP), DI
	MOVQ   enc+16(FP), SI
	MOVQ   CX, AX
	SHLQ   $4, AX
	ADDQ   AX, SI      // from the last
	MOVUPS (SI), X0
	MOVUPS X0, (DI)

inner:
	SUBQ   $16, SI
	ADDQ   $16, DI
	MOVUPS (SI), X0
	DECQ   CX
	JZ     last
	AESIMC X0, X0
	MOVUPS X0, (DI)
	JMP    inner

last:
	MOVUPS X0, (DI)
	PXOR   X0, X0
	RET

#define ENCRYPT(at) \
	MOVUPS at(AX), X1; \
	AESENC X1, X0

// func encryptBlocks(rounds int, keys *uint32, iv *[16]byte, buf *byte, blocks int)
TEXT ·encryptBlocks(SB), NOSPLIT, $0-40
	MOVQ   rounds+0(FP), CX
	MOVQ   keys+8(FP), AX
	MOVQ   iv+16(FP), DX
	MOVQ   buf+24(FP), DI
	MOVQ   blocks+32(FP), SI
	MOVUPS (DX), X0
	MOVUPS (AX), X3       // the first round key
	CMPQ   CX, $14
	JE     encrypt14
	SUBQ   $64, AX        // four rounds less: the last ten have their keys from 80(AX) on

encrypt14:
	MOVUPS (DI), X2
	PXOR   X3, X2
	PXOR   X2, X0
	CMPQ   CX, $14
	JNE    encrypt10
	ENCRYPT(16)
	ENCRYPT(32)
	ENCRYPT(48)
	ENCRYPT(64)

encrypt10:
	ENCRYPT(80)
	ENCRYPT(96)
	ENCRYPT(112)
	ENCRYPT(128)
	ENCRYPT(144)
	ENCRYPT(160)
	ENCRYPT(176)
	ENCRYPT(192)
	ENCRYPT(208)
	MOVUPS     224(AX), X1
	AESENCLAST X1, X0
	MOVUPS     X0, (DI)
	ADDQ       $16, DI
	DECQ       SI
	JNZ        encrypt14
	MOVUPS     X0, (DX)
	PXOR       X1, X1
	PXOR       X2, X2
	PXOR       X3, X3
	RET

#define DECRYPT(at) \
	MOVUPS at(AX), X8; \
	AESDEC X8, X0

#define DECRYPT8(at) \
	DECRYPT(at); \
	AESDEC X8, X1; \
	AESDEC X8, X2; \
	AESDEC X8, X3; \
	AESDEC X8, X4; \
	AESDEC X8, X5; \
	AESDEC X8, X6; \
	AESDEC X8, X7

#define LOAD(at, X) \
	MOVUPS at(SI), X; \
	PXOR   X10, X

// Ends a block: the last round, then the ciphertext block before it, which is
// at the address given. Nothing is stored before all of src is read.
#define LAST(at, X) \
	MOVUPS     at(SI), X11; \
	AESDECLAST X8, X; \
	PXOR       X11, X

// func decryptBlocks(rounds int, keys *uint32, iv *[16]byte, dst, src *byte, blocks int)
TEXT ·decryptBlocks(SB), NOSPLIT, $0-48
	MOVQ   rounds+0(FP), CX
	MOVQ   keys+8(FP), AX
	MOVQ   iv+16(FP), DX
	MOVQ   dst+24(FP), DI
	MOVQ   src+32(FP), SI
	MOVQ   blocks+40(FP), BX
	MOVUPS (DX), X9
	MOVUPS (AX), X10
	CMPQ   CX, $14
	JE     decryptMore
	SUBQ   $64, AX

decryptMore:
	CMPQ BX, $8
	JB   decryptOne
	LOAD(0, X0)
	LOAD(16, X1)
	LOAD(32, X2)
	LOAD(48, X3)
	LOAD(64, X4)
	LOAD(80, X5)
	LOAD(96, X6)
	LOAD(112, X7)
	CMPQ CX, $14
	JNE  decryptEight10
	DECRYPT8(16)
	DECRYPT8(32)
	DECRYPT8(48)
	DECRYPT8(64)

decryptEight10:
	DECRYPT8(80)
	DECRYPT8(96)
	DECRYPT8(112)
	DECRYPT8(128)
	DECRYPT8(144)
	DECRYPT8(160)
	DECRYPT8(176)
	DECRYPT8(192)
	DECRYPT8(208)
	MOVUPS     224(AX), X8
	AESDECLAST X8, X0
	PXOR       X9, X0
	LAST(0, X1)
	LAST(16, X2)
	LAST(32, X3)
	LAST(48, X4)
	LAST(64, X5)
	LAST(80, X6)
	LAST(96, X7)
	MOVUPS     112(SI), X9
	MOVUPS     X0, (DI)
	MOVUPS     X1, 16(DI)
	MOVUPS     X2, 32(DI)
	MOVUPS     X3, 48(DI)
	MOVUPS     X4, 64(DI)
	MOVUPS     X5, 80(DI)
	MOVUPS     X6, 96(DI)
	MOVUPS     X7, 112(DI)
	ADDQ       $128, SI
	ADDQ       $128, DI
	SUBQ       $8, BX
	JMP        decryptMore

decryptOne:
	TESTQ BX, BX
	JZ    decryptDone
	LOAD(0, X0)
	CMPQ  CX, $14
	JNE   decryptOne10
	DECRYPT(16)
	DECRYPT(32)
	DECRYPT(48)
	DECRYPT(64)

decryptOne10:
	DECRYPT(80)
	DECRYPT(96)
	DECRYPT(112)
	DECRYPT(128)
	DECRYPT(144)
	DECRYPT(160)
	DECRYPT(176)
	DECRYPT(192)
	DECRYPT(208)
	MOVUPS     224(AX), X8
	AESDECLAST X8, X0
	PXOR       X9, X0
	MOVUPS     (SI), X9
	MOVUPS     X0, (DI)
	ADDQ       $16, SI
	ADDQ       $16, DI
	DECQ       BX
	JMP        decryptOne

decryptDone:
	MOVUPS X9, (DX)
	PXOR   X8, X8
	PXOR   X10, X10
	RET
