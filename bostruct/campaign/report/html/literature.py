"""Literature that the methods text of a report cites, by a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Citation(NamedTuple):
    """One publication.

    Args:
        text: Authors, journal, volume, page and year.
        link: Address of the publication; "" without one.
    """

    text: str
    link: str = ""


LITERATURE: Final[Mapping[str, Citation]] = {
    "ament": Citation(
        "S. Ament, S. Daulton, D. Eriksson, M. Balandat, E. Bakshy, NeurIPS 36 (2023)",
        "https://arxiv.org/abs/2310.20708",
    ),
    "ase": Citation(
        "A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)",
        "https://doi.org/10.1088/1361-648X/aa680e",
    ),
    "bartok": Citation(
        "A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87, 184115 (2013)",
        "https://doi.org/10.1103/PhysRevB.87.184115",
    ),
    "boss": Citation(
        "M. Todorović, M. U. Gutmann, J. Corander, P. Rinke, npj Comput. Mater. 5, 35 (2019)",
        "https://doi.org/10.1038/s41524-019-0175-2",
    ),
    "botorch": Citation(
        "M. Balandat et al., BoTorch, NeurIPS 33 (2020)", "https://arxiv.org/abs/1910.06403"
    ),
    "chgnet": Citation(
        "B. Deng et al., CHGNet, Nat. Mach. Intell. 5, 1031 (2023)",
        "https://doi.org/10.1038/s42256-023-00716-3",
    ),
    "couckuyt": Citation(
        "I. Couckuyt, D. Deschrijver, T. Dhaene, J. Global Optim. 60, 575 (2014)",
        "https://doi.org/10.1007/s10898-013-0118-2",
    ),
    "daulton": Citation(
        "S. Daulton, M. Balandat, E. Bakshy, NeurIPS 34 (2021)", "https://arxiv.org/abs/2105.08195"
    ),
    "daw": Citation(
        "M. S. Daw, M. I. Baskes, Phys. Rev. B 29, 6443 (1984)",
        "https://doi.org/10.1103/PhysRevB.29.6443",
    ),
    "emt": Citation(
        "K. W. Jacobsen, P. Stoltze, J. K. Nørskov, Surf. Sci. 366, 394 (1996)",
        "https://doi.org/10.1016/0039-6028(96)00816-3",
    ),
    "gfn2": Citation(
        "C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019)",
        "https://doi.org/10.1021/acs.jctc.8b01176",
    ),
    "gpytorch": Citation(
        "J. R. Gardner et al., GPyTorch, NeurIPS 31 (2018)", "https://arxiv.org/abs/1809.11165"
    ),
    "grasselli": Citation(
        "F. Grasselli et al., Digital Discovery 4, 2654 (2025)",
    ),
    "jones": Citation(
        "D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optim. 13, 455 (1998)",
        "https://doi.org/10.1023/A:1008306431147",
    ),
    "keane": Citation("A. J. Keane, AIAA J. 44, 879 (2006)", "https://doi.org/10.2514/1.16875"),
    "knowles": Citation(
        "J. Knowles, IEEE Trans. Evol. Comput. 10, 50 (2006)",
        "https://doi.org/10.1109/TEVC.2005.851274",
    ),
    "kushner": Citation(
        "H. J. Kushner, J. Basic Eng. 86, 97 (1964)", "https://doi.org/10.1115/1.3653121"
    ),
    "lakshminarayanan": Citation(
        "B. Lakshminarayanan, A. Pritzel, C. Blundell, NeurIPS 30 (2017)",
        "https://arxiv.org/abs/1612.01474",
    ),
    "nwchem": Citation(
        "E. Aprà et al., NWChem, J. Chem. Phys. 152, 184102 (2020)",
        "https://doi.org/10.1063/5.0004997",
    ),
    "quinonero": Citation(
        "J. Quiñonero-Candela, C. E. Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005)",
        "https://jmlr.org/papers/v6/quinonero-candela05a.html",
    ),
    "rasmussen": Citation(
        "C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press "
        "(2006)",
        "https://gaussianprocess.org/gpml/",
    ),
    "sevennet": Citation(
        "Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024)",
        "https://doi.org/10.1021/acs.jctc.4c00190",
    ),
    "srinivas": Citation(
        "N. Srinivas, A. Krause, S. Kakade, M. Seeger, ICML 27 (2010)",
        "https://arxiv.org/abs/0912.3995",
    ),
    "wales": Citation(
        "D. J. Wales, J. P. K. Doye, J. Phys. Chem. A 101, 5111 (1997)",
        "https://doi.org/10.1021/jp970984n",
    ),
    "yang": Citation(
        "K. Yang, M. Emmerich, A. Deutz, T. Bäck, J. Global Optim. 75, 3 (2019)",
        "https://doi.org/10.1007/s10898-019-00798-7",
    ),
}
