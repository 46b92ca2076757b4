#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""How MySQL compares texts in utf8mb4_general_ci.

Each character has one weight, without regard to those beside it. That of most
is the character itself.
"""

import re

#: The characters of another weight than their own, and what they count as.
_FOLDED = str.maketrans(
    'abcdefghijklmnopqrstuvwxyzµÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝßàáâãäåæçèéêëìíîï'
    'ðñòóôõöøùúûüýþÿĀāĂăĄąĆćĈĉĊċČčĎďđĒēĔĕĖėĘęĚěĜĝĞğĠġĢģĤĥħĨĩĪīĬĭĮįİıĳĴĵĶķĹĺ'
    'ĻļĽľŀłŃńŅņŇňŋŌōŎŏŐőœŔŕŖŗŘřŚśŜŝŞşŠšŢţŤťŧŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽžſƃƅƈƌƒƕƙ'
    'ƠơƣƥƨƭƯưƴƶƹƽƿǅǆǈǉǋǌǍǎǏǐǑǒǓǔǕǖǗǘǙǚǛǜǝǞǟǠǡǢǣǥǦǧǨǩǪǫǬǭǮǯǰǲǳǴǵǸǹǺǻǼǽǾǿȀȁȂȃ'
    'ȄȅȆȇȈȉȊȋȌȍȎȏȐȑȒȓȔȕȖȗȘșȚțȝȞȟȣȥȦȧȨȩȪȫȬȭȮȯȰȱȲȳɓɔɖɗəɛɠɣɨɩɯɲɵʀʃʈʊʋʒ\u0345ΆΈ'
    'ΉΊΌΎΏΐΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώϐϑϓϔϕϖϛϝϟϡϣϥϧϩϫϭϯϰϱϲЀЁЃЇЌЍЎ'
    'абвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџѡѣѥѧѩѫѭѯѱѳѵѶѷѹѻѽѿҁҍҏґғ'
    'ҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӁӂӄӈӌӐӑӒӓӕӖӗәӚӛӜӝӞӟӡӢӣӤӥӦӧөӪӫӬӭӮӯӰӱӲӳӴӵӸӹաբգդեզէ'
    'ըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆḀḁḂḃḄḅḆḇḈḉḊḋḌḍḎḏḐḑḒḓḔḕḖḗḘḙḚḛḜḝḞḟḠḡḢḣḤḥḦ'
    'ḧḨḩḪḫḬḭḮḯḰḱḲḳḴḵḶḷḸḹḺḻḼḽḾḿṀṁṂṃṄṅṆṇṈṉṊṋṌṍṎṏṐṑṒṓṔṕṖṗṘṙṚṛṜṝṞṟṠṡṢṣṤṥṦṧṨṩṪṫṬ'
    'ṭṮṯṰṱṲṳṴṵṶṷṸṹṺṻṼṽṾṿẀẁẂẃẄẅẆẇẈẉẊẋẌẍẎẏẐẑẒẓẔẕẖẗẘẙẛẠạẢảẤấẦầẨẩẪẫẬậẮắẰằẲẳẴẵẶặ'
    'ẸẹẺẻẼẽẾếỀềỂểỄễỆệỈỉỊịỌọỎỏỐốỒồỔổỖỗỘộỚớỜờỞởỠỡỢợỤụỦủỨứỪừỬửỮữỰựỲỳỴỵỶỷỸỹἀἁἂἃ'
    'ἄἅἆἇἈἉἊἋἌἍἎἏἐἑἒἓἔἕἘἙἚἛἜἝἠἡἢἣἤἥἦἧἨἩἪἫἬἭἮἯἰἱἲἳἴἵἶἷἸἹἺἻἼἽἾἿὀὁὂὃὄὅὈὉὊὋὌὍὐὑ'
    'ὒὓὔὕὖὗὙὛὝὟὠὡὢὣὤὥὦὧὨὩὪὫὬὭὮὯὰάὲέὴήὶίὸόὺύὼώᾀᾁᾂᾃᾄᾅᾆᾇᾈᾉᾊᾋᾌᾍᾎᾏᾐᾑᾒᾓᾔᾕᾖᾗᾘᾙᾚᾛᾜᾝ'
    'ᾞᾟᾠᾡᾢᾣᾤᾥᾦᾧᾨᾩᾪᾫᾬᾭᾮᾯᾰᾱᾲᾳᾴᾶᾷᾸᾹᾺᾼιῂῃῄῆῇῈῊῌῐῑῒῖῗῘῙῚῠῡῢῤῥῦῧῨῩῪῬῲῳῴῶῷῸῺῼⅰⅱⅲⅳⅴ'
    'ⅵⅶⅷⅸⅹⅺⅻⅼⅽⅾⅿⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ',
    'ABCDEFGHIJKLMNOPQRSTUVWXYZΜAAAAAACEEEEIIIINOOOOOUUUUYSAAAAAAÆCEEEEIIII'
    'ÐNOOOOOØUUUUYÞYAAAAAACCCCCCCCDDĐEEEEEEEEEEGGGGGGGGHHĦIIIIIIIIIIĲJJKKLL'
    'LLLLĿŁNNNNNNŊOOOOOOŒRRRRRRSSSSSSSSTTTTŦUUUUUUUUUUUUWWYYYZZZZZZSƂƄƇƋƑǶƘ'
    'OOƢƤƧƬUUƳƵƸƼǷǄǄǇǇǊǊAAIIOOUUUUUUUUUUƎAAAAÆÆǤGGKKOOOOƷƷJǱǱGGNNAAÆÆØØAAAA'
    'EEEEIIIIOOOORRRRUUUUSSTTȜHHȢȤAAEEOOOOOOOOYYƁƆƉƊƏƐƓƔƗƖƜƝƟƦƩƮƱƲƷΙΑΕΗΙΟΥΩ'
    'ΙΙΥΑΕΗΙΥΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΣΤΥΦΧΨΩΙΥΟΥΩΒΘϒϒΦΠϚϜϞϠϢϤϦϨϪϬϮΚΡΣЕЕГІКИУАБВГД'
    'ЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЕЕЂГЄЅІІЈЉЊЋКИУЏѠѢѤѦѨѪѬѮѰѲѴѴѴѸѺѼѾҀҌҎҐҒҔҖҘҚҜ'
    'ҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾЖЖӃӇӋААААӔЕЕӘӘӘЖЖЗЗӠИИИИООӨӨӨЭЭУУУУУУЧЧЫЫԱԲԳԴԵԶԷԸԹԺԻԼ'
    'ԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖAABBBBBBCCDDDDDDDDDDEEEEEEEEEEFFGGHHHHHHHHHH'
    'IIIIKKKKKKLLLLLLLLMMMMMMNNNNNNNNOOOOOOOOPPPPRRRRRRRRSSSSSSSSSSTTTTTTTT'
    'UUUUUUUUUUVVVVWWWWWWWWWWXXXXYYZZZZZZHTWYSAAAAAAAAAAAAAAAAAAAAAAAAEEEEE'
    'EEEEEEEEEEEIIIIOOOOOOOOOOOOOOOOOOOOOOOOUUUUUUUUUUUUUUYYYYYYYYΑΑΑΑΑΑΑΑΑ'
    'ΑΑΑΑΑΑΑΕΕΕΕΕΕΕΕΕΕΕΕΗΗΗΗΗΗΗΗΗΗΗΗΗΗΗΗΙΙΙΙΙΙΙΙΙΙΙΙΙΙΙΙΟΟΟΟΟΟΟΟΟΟΟΟΥΥΥΥΥΥΥ'
    'ΥΥΥΥΥΩΩΩΩΩΩΩΩΩΩΩΩΩΩΩΩΑΆΕΈΗΉΙΊΟΌΥΎΩΏΑΑΑΑΑΑΑΑΑΑΑΑΑΑΑΑΗΗΗΗΗΗΗΗΗΗΗΗΗΗΗΗΩΩΩ'
    'ΩΩΩΩΩΩΩΩΩΩΩΩΩΑΑΑΑΑΑΑΑΑΑΑΙΗΗΗΗΗΕΗΗΙΙΙΙΙΙΙΙΥΥΥΡΡΥΥΥΥΥΡΩΩΩΩΩΟΩΩⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ'
    'ⅪⅫⅬⅭⅮⅯⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ')

#: All of these are of one weight.
_BEYOND = re.compile('[\U00010000-\U0010ffff]')

#: Spaces at the end do not count: a text is compared as if it had as many as
#: the longest, here that of a VARCHAR(255).
_LENGTH = 255


def key(text):
    """Return what a text is sorted as: a text, compared as Python does it."""
    return _BEYOND.sub('\ufffd', text.translate(_FOLDED)).rstrip(' ').ljust(
        _LENGTH)
