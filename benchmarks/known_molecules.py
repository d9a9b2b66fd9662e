"""Small molecules, ions and radicals that chemists know by name, as SMILES; what `drug_data.py` makes conformers of."""

from __future__ import annotations

from itertools import combinations_with_replacement

HALOGENS = ("F", "Cl", "Br", "I")

INORGANIC = """
[H][H] N#N O=O FF ClCl BrBr II FCl FBr FI ClBr ClI BrI [C-]#[O+] [O-][O+]=O O=C=O S=C=S O=C=S O=S=O O=S(=O)=O
[N-]=[N+]=O O=NO O=[N+]([O-])O NO NN N=N NNC OO O S SS SSS N P PP C [SiH4] F Cl Br I B BB CB CBC [BH2]N [BH3-][NH3+]
[SiH3][SiH3] [SiH3]O[SiH3] [SiH3]N [SiH3]C [SiH3]F [SiH3]Cl [SiH3]Br [SiH3]I [SiH3]S[SiH3] [SiH3]P [SiH2]=O [SiH2]=C
O=[Si]=O O=S(=O)(O)O O=S(O)O OS(=O)(=O)OS(=O)(=O)O OS(=O)(=O)OO OS(O)(=O)=S O=P(O)(O)O OP(O)O O=[PH](O)O O=[PH2]O
OP(=O)(O)OP(=O)(O)O OP(=O)(O)OP(=O)(O)OP(=O)(O)O O=P(O)=O OB(O)O OBO OB=O OCl OBr OI O=ClO O=Cl(=O)O O=Cl(=O)(=O)O
O=Br(=O)O O=I(=O)O O=I(=O)(=O)O O[Si](O)(O)O O[Si](O)(O)O[Si](O)(O)O [N-]=[N+]=N N=C=O N=C=S
C#N [C-]#[NH+] N#CC#N N#CO N#CS N#CN NC(N)=O NC(N)=S NC(N)=N ClC#N BrC#N IC#N FC#N ClOCl FOF BrOBr ClSCl ClSSCl FSF
BrSSBr O=C(Cl)Cl O=C(F)F O=C(Br)Br O=C(F)Cl S=C(Cl)Cl O=C(Cl)C(=O)Cl NCl ClNCl NF FNF NBr NI FN(F)F ClN(Cl)Cl
BrN(Br)Br IN(I)I FN=NF FN(F)N(F)F O=NF O=NCl O=NBr O=[N+]([O-])F O=[N+]([O-])Cl O=[N+]([O-])[N+](=O)[O-]
O=N[N+](=O)[O-] O=[N+]([O-])O[N+](=O)[O-] P12P3P1P23 P1PP1 O1P2OP3OP1OP(O2)O3
O=P12OP3(=O)OP(=O)(O1)OP(=O)(O2)O3 P12SP3SP(S1)SP(S2)S3 S1SSSSSSS1 S1SSSSS1 S1SSSSSS1 B1NBNBN1 B1OBOBO1
OB1OB(O)OB(O)O1 ClB1NB(Cl)NB(Cl)N1 ClP1(Cl)=NP(Cl)(Cl)=NP(Cl)(Cl)=N1 FP1(F)=NP(F)(F)=NP(F)(F)=N1
BrP1(Br)=NP(Br)(Br)=NP(Br)(Br)=N1 CP1(C)=NP(C)(C)=NP(C)(C)=N1 ClP1(Cl)=NP(Cl)(Cl)=NP(Cl)(Cl)=NP(Cl)(Cl)=N1 FB(F)B(F)F
ClB(Cl)B(Cl)Cl NS(=O)(=O)O NS(N)(=O)=O O=S(=O)(O)Cl O=S(=O)(O)F OP(=O)(O)F OP(=O)(F)F N=P PO SO NSN S=S=O BO BF BCl
B=O B#N N(=P)C P#C P#N [C-]#[S+] S=[Si]=S S=PP=S CP=O C[N+]#[C-] CN=C=O CN=C=S CSC#N CN=[N+]=[N-] CC#N CON=O
CO[N+](=O)[O-] C[N+](=O)[O-] O=S ONO NOC FO ClNN FNN FPF ClPCl FP=O ClP=O BrP=O FP=S ClP=S OP=O PN NPN NP(N)N NB(N)N
N[Si](N)(N)N SP(S)S SB(S)S S[Si](S)(S)S P[SiH2]P PB PBP [SiH3]B [SiH3]P([SiH3])[SiH3] [SiH3]N([SiH3])[SiH3]
[SiH3][SiH2][SiH3] [SiH3][SiH2][SiH2][SiH3] [SiH3][SiH]([SiH3])[SiH3] [SiH2]1[SiH2][SiH2][SiH2][SiH2]1
[SiH2]1O[SiH2]O[SiH2]O1 C[SiH2]C C[SiH](C)C CP(C)C CPC CP CSC CS CI CBr CF CCl CN CNC CN(C)C CO COC COO COOC CSS CSSSC
CS(C)=O CS(C)(=O)=O CS(=O)O CS(=O)(=O)O CP(C)(C)=O CP(C)(C)=S CP(=O)(O)O CP(C)(=O)O CPO COP(OC)OC COS(=O)OC
COS(=O)(=O)OC COB(OC)OC CO[Si](OC)(OC)OC CCO[Si](OCC)(OCC)OCC CCOB(OCC)OCC CCOP(=O)(OCC)OCC CCOP(OCC)OCC
C[Si](C)(C)O[Si](C)(C)C C[Si](C)(C)N[Si](C)(C)C C[Si](C)(C)[Si](C)(C)C C[Si]1(C)O[Si](C)(C)O[Si](C)(C)O1
C[Si]1(C)O[Si](C)(C)O[Si](C)(C)O[Si](C)(C)O1 CB1OB(C)OB(C)O1 CB(C)B(C)C CB(O)O CB(C)O CN(C)P(=O)(N(C)C)N(C)C
CN(C)P(N(C)C)N(C)C CN(C)B(N(C)C)N(C)C CN(C)[Si](C)(C)C CN(C)S(=O)(=O)N(C)C O=S(C(F)(F)F)(=O)O
O=S(=O)(OS(=O)(=O)C(F)(F)F)C(F)(F)F FC(F)(F)C(=O)O CS(=O)(=O)Cl Cc1ccc(cc1)S(=O)(=O)Cl O=C(Cl)c1ccccc1 CC(=O)Cl
CC(=O)Br CC(=O)OC(C)=O O=C1CCC(=O)N1Br O=C1CCC(=O)N1Cl O=C1CCC(=O)N1I CC(=O)OI(OC(C)=O)c1ccccc1 O=I(=O)c1ccccc1
ClI(Cl)c1ccccc1 CC1(C)OB(OC1(C)C)B1OC(C)(C)C(C)(C)O1 B1C2CCCC1CCC2 CC1(C)OBOC1(C)C c1ccc(cc1)P(c1ccccc1)c1ccccc1
O=P(c1ccccc1)(c1ccccc1)c1ccccc1 c1ccc(cc1)B(c1ccccc1)c1ccccc1 c1ccc(cc1)[Si](c1ccccc1)(c1ccccc1)c1ccccc1
c1ccc(cc1)N(c1ccccc1)c1ccccc1 c1ccc(cc1)Sc1ccccc1 c1ccc(cc1)SSc1ccccc1
Fc1c(F)c(F)c(B(c2c(F)c(F)c(F)c(F)c2F)c2c(F)c(F)c(F)c(F)c2F)c(F)c1F COc1ccc(cc1)P1(=S)SP(=S)(S1)c1ccc(OC)cc1
CCN(CC)S(F)(F)F C[Si](C)(C)C(F)(F)F C[Si](C)(C)C#N C[Si](C)(C)N=[N+]=[N-] C[Si](C)(C)C=[N+]=[N-]
C[Si](C)(C)OS(=O)(=O)C(F)(F)F C[Si](C)(C)Cl C[Si](C)(C)Br C[Si](C)(C)I C[Si](C)(C)F C[Si](C)(Cl)Cl C[Si](Cl)(Cl)Cl
CC(C)(C)[Si](C)(C)Cl C=C[Si](C)(C)C C#C[Si](C)(C)C C1COCCO1 C1CCOC1 CC(C)=O CCOC(C)=O CN(C)C=O CN(C)C(C)=O CN1CCCC1=O
CCOCC COCCOC CCC#N c1ccncc1 Cc1ccccc1 c1ccccc1 Cc1ccccc1C FC(F)(F)c1ccccc1 O=[N+]([O-])c1ccccc1 N#Cc1ccccc1 CCCCCC
C1CCCCC1 CCCCC CCCCCCC ClCCl ClCCCl CC(Cl)Cl CC(Cl)(Cl)Cl ClC=CCl ClC=C C=C(Cl)Cl OCC(F)(F)C(F)F OC(C(F)(F)F)C(F)(F)F
CC(O)=O OC=O CCO CCCO CC(C)O CC(C)(C)O OCCO OCC(O)CO C1CCS(=O)(=O)C1 O=C1OCCO1 CC1COC(=O)O1 O=C(OC)OC CN1CCN(C)C1=O
CN(C)C(=O)N(C)C CCN(CC)CC CC(C)N(CC)C(C)C C1CCC2=NCCCN2CC1 C1CN2CCN1CC2 CN(C)CCN(C)C CN(C)c1ccncc1 c1c[nH]cn1 C1CCNCC1
C1COCCN1 CC(C)NC(C)C CCNCC CC(C)N=C=NC(C)C C1CCC(CC1)N=C=NC1CCCCC1 O=C(n1ccnc1)n1ccnc1 CCOC(=O)N=NC(=O)OCC C=[N+]=[N-]
NNC(N)=S NNC1=CC=CC=C1 OO[C](C)C CC(C)(C)OO CC(C)(C)OOC(C)(C)C O=C(OOC(=O)c1ccccc1)c1ccccc1 O=C(OO)c1cccc(Cl)c1 C=O
CC=O O=CC=O C=C=O O=C=C=C=O C=C C#C C=C=C C#CC#C C1CC1 C1=CC1 C1CO1 C1CN1 C1CS1 C1OO1 CC=C=O
"""
"""Elements, hydrides, oxides, acids, halides, solvents and reagents."""

IONS = """
[O-]Br(=O)=O [O-]I(=O)=O [O-]I(=O)(=O)=O [O-]Br(=O)(=O)=O
[F-] [Cl-] [Br-] [I-] [H-] [OH-] [SH-] [NH2-] [PH2-] [CH3-] [SiH3-] [OH3+] [SH3+] [NH4+] [PH4+] [O-][O-] [C-]#N
[O-]C#N [S-]C#N [N-]=C=O [N-]=C=S [N-]=[N+]=[N-] [O-][N+](=O)[O-] [O-]N=O N#[O+] O=[N+]=O [O-]S(=O)(=O)[O-]
OS(=O)(=O)[O-] [O-]S(=O)[O-] OS(=O)[O-] [O-]S([O-])(=O)=S [O-]S(=O)(=O)OOS(=O)(=O)[O-] [O-]S(=O)S(=O)[O-] [S-]S[S-]
[S-][S-] [S-2] [O-2] [O-]P([O-])([O-])=O OP([O-])([O-])=O OP(O)([O-])=O [O-]P(=O)([O-])OP(=O)([O-])[O-]
OP(=O)([O-])OP(=O)([O-])O [O-][PH](=O)[O-] [O-][PH2]=O [O-]P(=S)([O-])[O-] [O-]C([O-])=O OC([O-])=O [O-]C(=O)C([O-])=O
[O-]C=O CC([O-])=O FC(F)(F)C([O-])=O ClC(Cl)(Cl)C([O-])=O CC(=O)C([O-])=O [O-]C(=O)CC(O)(CC([O-])=O)C([O-])=O
[O-]C(=O)C=CC([O-])=O [O-]C(=O)CCC([O-])=O [O-]C(=O)C(O)C(O)C([O-])=O CC(O)C([O-])=O [O-]C(=O)c1ccccc1 [O-]c1ccccc1
[S-]c1ccccc1 C[O-] CC[O-] CC(C)(C)[O-] C[S-] CS([O-])(=O)=O [O-]S(=O)(=O)C(F)(F)F Cc1ccc(cc1)S([O-])(=O)=O
COS([O-])(=O)=O [O-]Cl [O-]Cl=O [O-]Cl(=O)=O [O-]Cl(=O)(=O)=O
[O-]Br [O-]I I[I-]I F[H-]F Cl[I-]Cl F[B-](F)(F)F Cl[B-](Cl)(Cl)Cl Br[B-](Br)(Br)Br [BH4-]
[BH3-]C#N O[B-](O)(O)O [O-]B(O)O C[B-](C)(C)C [BH-](OC(C)=O)(OC(C)=O)OC(C)=O [BH-](C(C)CC)(C(C)CC)C(C)CC
c1ccc(cc1)[B-](c1ccccc1)(c1ccccc1)c1ccccc1
Fc1c(F)c(F)c([B-](c2c(F)c(F)c(F)c(F)c2F)(c2c(F)c(F)c(F)c(F)c2F)c2c(F)c(F)c(F)c(F)c2F)c(F)c1F F[P-](F)(F)(F)(F)F
F[Si-2](F)(F)(F)(F)F O=S(=O)([N-]S(=O)(=O)C(F)(F)F)C(F)(F)F FS(=O)(=O)[N-]S(=O)(=O)F C[N+](C)(C)C CC[N+](CC)(CC)CC
CCCC[N+](CCCC)(CCCC)CCCC C[N+](C)(C)Cc1ccccc1 C[N+](C)(C)CCO C[N+](C)(C)CCOC(C)=O C[NH3+] C[NH2+]C C[NH+](C)C
CC[NH+](CC)CC NC(N)=[NH2+] NC=[NH2+] C[P+](C)(C)C C[P+](c1ccccc1)(c1ccccc1)c1ccccc1
c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1 CCCC[P+](CCCC)(CCCC)CCCC C[S+](C)C C[S+](C)(C)=O
c1ccc(cc1)[S+](c1ccccc1)c1ccccc1 C[O+](C)C CC[O+](CC)CC c1cc[nH+]cc1 C[n+]1ccccc1 C[n+]1ccn(C)c1 CCCC[n+]1ccn(C)c1
C[N+]1(C)CCCC1 c1ccc(cc1)[I+]c1ccccc1 N#[N+]c1ccccc1 C[n+]1ccc(cc1)-c1cc[n+](C)cc1 C[C+](C)C
c1ccc(cc1)[C+](c1ccccc1)c1ccccc1 [cH+]1cccccc1 [CH-]1C=CC=C1 [CH2+]C=C [CH2-]C=C [C-]#C CC#[O+] [CH3+] CC(C)=[OH+]
[CH-](C#N)C#N [CH-](C(C)=O)C(C)=O [CH-]([N+](=O)[O-])[N+](=O)[O-] N#C[N-]C#N C=C[O-]
[O-]c1c(cc(cc1[N+](=O)[O-])[N+](=O)[O-])[N+](=O)[O-] C[N-]C C[Si](C)(C)[N-][Si](C)(C)C [N-]1C=CC=C1 [N-]1C(=O)CCC1=O
[O-]c1ccc(cc1)[N+](=O)[O-] [PH3+]C C[I+]C [O-][n+]1ccccc1 [NH3+][NH3+] N[NH3+] O[NH3+]
"""
"""Ions of salts and of reagents; some are too odd for a force field and are lost."""

ZWITTERIONS = """
C[N+](C)(C)CC(=O)[O-] C[N+](C)(C)C[C@H](O)CC(=O)[O-] [NH3+]CCS(=O)(=O)[O-] [NH3+]S(=O)(=O)[O-] [NH3+]CP(=O)(O)[O-]
C[N+](C)(C)[O-] C[N+]1([O-])CCOCC1 [O-][n+]1ccccc1 [O-][N+]=C C=[N+](C)[O-] C=[N+]([O-])c1ccccc1 [CH2-][N+](C)(C)C
[CH2-][P+](C)(C)C C=P(C)(C)C C=P(c1ccccc1)(c1ccccc1)c1ccccc1 [CH2-][S+](C)C C=S(C)(C)=O [O-][S+](C)C [O-]C1=C[NH+]=NO1
[O-][n+]1ccc(cc1)C(=O)[O-] [O-]C(=O)c1ccc[nH+]c1 [O-]C(=O)c1cccc[nH+]1 C[n+]1cccc(c1)C(=O)[O-] [O-]C(=O)C[n+]1ccccc1
[NH3+]c1ccc(cc1)S(=O)(=O)[O-] C[N+](C)(C)CCOP(=O)([O-])OC [NH3+]CCOP(=O)(O)[O-] [BH3-][N+](C)(C)C F[B-](F)(F)[NH3+]
F[B-](F)(F)[N+](C)(C)C F[B-](F)(F)[O+](CC)CC Cl[B-](Cl)(Cl)[NH3+] [BH3-][S+](C)C [BH3-][P+](C)(C)C [BH3-][NH3+]
CC#[N+][O-] C[N+]#[C-] C[C-]=[N+]=N C=[N+]=[N-] [N-]=[N+]=CC(=O)OCC NC(=[NH2+])NCC(=O)[O-] [NH3+]CCC(=O)[O-]
[NH3+]CCCC(=O)[O-] [NH3+]CCCCCC(=O)[O-] C[NH2+]CC(=O)[O-] C[NH+](C)CC(=O)[O-] [O-]C(=O)C1CC[NH2+]CC1
[O-]c1ccc[n+](C)c1 O=C([O-])C1=C[NH2+]CCC1
"""
"""Betaines, oxides of amines, ylides and adducts; amino acids are made from their side chains."""

RADICALS = """
[H] [CH3] [CH2]C [CH](C)C C[C](C)C [CH]=C [C]#C C=C[CH2] [CH2]c1ccccc1 [c]1ccccc1 c1ccc(cc1)[C](c1ccccc1)c1ccccc1 [OH]
C[O] O[O] CO[O] [O]c1ccccc1 [SH] C[S] [NH2] C[NH] C[N]C [N]=O [O]Cl=O [O]N=O CC(C)(C)[N]([O])C CC1(C)CCCC(C)(C)N1[O]
[PH2] C[P]C [SiH3] C[Si](C)C [BH2] [BH]C [CH]=O C[C]=O [C](Cl)(Cl)Cl [C](F)(F)F [CH2]F [CH2]Cl [CH2]Br [CH2]I [CH2]O
[CH2]C#N [CH2]C(C)=O C[S](=O)=O [Cl] [F] [Br] [I] [O]Cl [O]Br [N]=[N+]=[N-] [O][N+](=O)[O-] [CH2]N [CH2]S
[CH2][Si](C)(C)C [CH2]B(O)O [C]1CC1 [CH2] [CH]F [CH]Cl [CH]Br F[C]F Cl[C]Cl Br[C]Br F[C]Cl C[C]C [SiH2] F[Si]F
Cl[Si]Cl C[Si]C [NH] C[N] [O] [S] [PH] [BH] C=[C] [CH]c1ccccc1 [C](c1ccccc1)c1ccccc1 O[CH] CO[C]OC CN1C=CN(C)[C]1
CC(C)N1C=CN(C(C)C)[C]1 CN1CCN(C)[C]1 [CH]C=O N[C]N [CH]C#N [N]C=O [C-]#[N+]C [CH]=[N]
"""
"""Radicals, carbenes, silylenes and nitrenes; singlets and triplets have one SMILES and one force field."""

FRAMES = """
C CC CCC CCCC CC(C)C CC(C)(C)C CCCCC CCCCCC CCCCCCCC C=C CC=C C=CC=C CC(C)=C C=C=C C#C CC#C C1CC1 C1CCC1 C1CCCC1
C1CCCCC1 C1=CCCC1 C1=CCCCC1 C1CC2CCC1C2 C1C2CC3CC1CC(C2)C3 c1ccccc1 Cc1ccccc1 c1ccc2ccccc2c1 c1ccc(cc1)-c1ccccc1
C=Cc1ccccc1 Cc1ccccc1C c1ccc2cc3ccccc3cc2c1 CO COC CCO CCOCC C1COCCO1 C1CCOC1 c1ccoc1 C=O CC=O CC(C)=O CCC(C)=O OC=O
CC(O)=O COC=O CC(=O)OC O=C1C=CC(=O)C=C1 N CN CNC CN(C)C NN C1CCNCC1 c1ccncc1 c1cncnc1 c1cnccn1 c1ncncn1 c1cc[nH]c1
c1c[nH]cn1 N=C N=N C#N CC#N CCC#N NC=O CN(C)C=O CN=C=O C[N+](=O)[O-] O=[N+]([O-])c1ccccc1 Oc1ccccc1 COc1ccccc1
Nc1ccccc1 O=Cc1ccccc1 CC(=O)c1ccccc1 OC(=O)c1ccccc1 CS CSC CSSC C1CCSC1 c1ccsc1 CS(C)=O CS(C)(=O)=O Sc1ccccc1
CS(=O)(=O)O S SS [SiH4] [SiH3][SiH3] C[SiH3] C[SiH2]C C[Si](C)(C)C [SiH3]O[SiH3] [SiH3]C[SiH3] C[Si](C)(C)O[Si](C)(C)C
[SiH3][SiH2][SiH3] [SiH3]c1ccccc1 B BB CB CBC CB(C)C Bc1ccccc1 OB(O)O COB(OC)OC P PP CP CPC CP(C)C CP(C)(C)=O
Pc1ccccc1 O=[PH3] S=[PH3] COP(=O)(OC)OC B1NBNBN1 B1OBOBO1 OO COOC ON NOC C1CN1 C1CO1 C1CS1 c1ccc2ncccc2c1
c1ccc2[nH]ccc2c1 c1ccc(cc1)Oc1ccccc1 c1ccc(cc1)P(c1ccccc1)c1ccccc1 c1ccc(cc1)[SiH2]c1ccccc1
"""
"""Whose hydrogens are replaced by halogens."""


def halides() -> list[str]:
    """Return halides of B, Si, P, S, N, C and of halogens, systematically, also such as no chemist would keep."""
    found = []
    shapes = {
        2: ("O{}{}", "S{}{}", "O=S{}{}", "O=S(=O){}{}", "O=C{}{}", "S=C{}{}", "{}SS{}", "{}OO{}", "{}N=N{}", "{}C#C{}",
            "[SiH2]{}{}", "B{}{}", "P{}{}", "N{}{}", "O=[PH]{}{}", "C[Si]{}{}C", "CP{}{}", "CB{}{}", "CN{}{}",
            "O=P{}{}O", "CP(=O){}{}", "CP(=S){}{}"),
        3: ("B{}{}{}", "N{}{}{}", "P{}{}{}", "P(=O){}{}{}", "P(=S){}{}{}", "[SiH]{}{}{}", "C{}{}{}", "C[Si]{}{}{}",
            "C=C[Si]{}{}{}", "N=S{}{}{}", "N#S{}{}{}"),
        4: ("[Si]{}{}{}{}", "C{}{}{}{}", "S{}{}{}{}", "B{}{}B{}{}", "P{}{}P{}{}", "N{}{}N{}{}", "[B-]{}{}{}{}",
            "[P+]{}{}{}{}", "[N+]{}{}{}{}", "S(=O){}{}{}{}", "CP{}{}{}{}", "P{}{}OP{}{}", "B{}{}OB{}{}"),
        5: ("P{}{}{}{}{}", "Br{}{}{}{}{}", "I{}{}{}{}{}"),
        6: ("S{}{}{}{}{}{}", "[P-]{}{}{}{}{}{}", "[Si]{}{}{}[Si]{}{}{}", "[Si]{}{}{}O[Si]{}{}{}", "C{}{}{}[Si]{}{}{}"),
    }  # fmt: skip
    for number, frames in shapes.items():
        for halogens in combinations_with_replacement(HALOGENS, number):
            if number > 4 and len(set(halogens)) > 1:
                continue
            for frame in frames:
                found.append(_filled(frame, halogens))
    pairs = [f"{a}{b}" for a, b in combinations_with_replacement(HALOGENS, 2)]
    return [
        *found,
        *pairs,
        *(f"O{a}" for a in HALOGENS),
        *(f"N#C{a}" for a in HALOGENS),
        "FCl(F)F",
        "FBr(F)F",
        "FI(F)F",
    ]


def _filled(frame: str, halogens: tuple[str, ...]) -> str:
    """Return the frame with halogens in the place of braces, as branches where something follows."""
    first, rest = frame.startswith("{}"), frame
    for k, halogen in enumerate(halogens):
        end = rest.index("{}")
        inside = halogen if (first and k == 0) else f"({halogen})"
        rest = rest[:end] + inside + rest[end + 2 :]
    return rest
